// Package envelope is the outside of the model door's requests and answers: the
// credentials that a request carries and whose they are, the headers and the
// query that go on, the paths that mean one thing only, an answer's coding, and
// the provider's key where an answer echoes it.
//
// It promises: no credential of a known form goes on, and none of the headers by
// which a request would be another than was judged; of an answer nothing goes on
// that names the company's account, or that sends the agent elsewhere; what is
// handed out of an answer is plain, or an error.
//
// It is pure: it dials nothing, opens nothing, and keeps nothing beyond a call.
package envelope
