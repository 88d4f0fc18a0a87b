// Package wire is the noun of the model door: what every vendor's protocol
// answers, and the tools that the protocols are read with: a strict reader of
// JSON that keeps the byte range of everything, edits by byte range, a splitter
// of event streams, a tally of what an answer said.
//
// It promises: a body that two readers could read in two ways is refused where
// the difference would matter; nothing is ever written anew, an edit replaces
// the bytes of one range and leaves every other byte; no input makes it panic,
// and what it keeps of an answer is bounded.
//
// It is pure: it dials nothing, opens nothing and knows neither keys nor policy.
package wire
