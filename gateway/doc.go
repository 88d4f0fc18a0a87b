// Package gateway is the model door: one loopback endpoint of a session that
// speaks the wires of the model vendors (the rooms below it), takes the session's
// token from the agent and puts the company's key in its place.
//
// It promises: a request leaves only after the policy has allowed the model and
// whatever would happen out of sight, and the record of it, with the prompt as an
// encrypted payload, is durable; what was refused is on record too; a body
// reaches the provider byte for byte as the agent wrote it, but for the
// provider's name in front of the model's and a "store":false where a policy
// that denies storing needs it, and a placeholder for a secret that the policy
// redacts; no request leaves whose strings were not searched for secrets to their
// end; the answer comes back byte for byte and without delay, but where the policy
// blocks secrets in answers no further than it is known to hold none, and is
// recorded with its usage; the key and secrets that were found appear in no record,
// the key in no answer; when the ledger fails, nothing leaves any more.
//
// It may dial the configured providers and ask room keys for theirs. It must
// never listen by itself, follow a redirect, translate one wire into another, or keep a prompt
// anywhere but in the ledger.
package gateway
