// Package screen is what the model door does with secrets: it searches requests
// and answers with package scan, asks the policy about what is found, and makes
// the edits, the placeholders and the entries of the record.
//
// It promises: every string of a request is searched, those that an edit would
// break too; an answer that is held goes on no further than it is known to hold
// nothing that blocks, and is held for at most scan.Window bytes of each of its
// texts; what it returns for the record holds no secret that was found; a scan
// that does not end is an error, on which nothing may go on.
//
// It is pure: it dials nothing, opens nothing, and keeps nothing beyond a call.
package screen
