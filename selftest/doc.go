// Package selftest is the attack table: what an agent may try against its
// sandbox, each with the control that must stop it, what it must meet, and what
// must then be on record. `countersign selftest` runs it in a session of the
// machine's own posture and policy, and the tests run the very same rows.
//
// It promises:
//   - A row is data; what it does is one of the attempts, made of plain system
//     calls by this binary itself: no interpreter, compiler or shell is needed.
//   - A row counts as blocked only if its attempt was made, was answered as the row
//     says, nothing of a canary came out, and exactly the records that the row
//     names are there. What the machine or the policy does not give is said
//     (NotProtected, NotApplicable) and never counts as blocked.
//   - Canary secrets are made anew for each run, and hold nothing but noise.
//
// Attempts may touch what a Ground names, and are refused the rest or so made that
// they harm nothing where no control stands. It starts no process but this binary
// and what a row names, and must never write to the ledger or read a policy.
package selftest
