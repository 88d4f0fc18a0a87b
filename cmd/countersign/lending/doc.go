// Package lending has an approved command that policy lends secrets to run apart
// from the agent, with the secrets in its environment.
//
// It promises that no process of the agent's gets to know a value from the
// machine: the command and all that it starts are a tree of their own, in a domain
// that the agent's processes can neither see, read, trace nor signal (internal/landlock);
// what runs there is what was approved, compared again at its exec stop; its environment
// is the session's with the secrets, and of the agent's own only what the rule names; what it
// prints comes through here, with the values covered (internal/mask); nothing of it
// is left when it has ended. A value is read when it is used, after the use is
// approved, and is in memory alone; its use is on record before the command
// starts (secret.lent), the value never.
//
// What the command itself does with a value, knowingly or not, is not held: it
// may write it to a file, encode it, or load code that the agent wrote.
//
// It may take descriptors 0, 1 and 2 of the process that stands in for the command, write to
// the last two, and have commands started by the sandbox. It decides nothing.
package lending
