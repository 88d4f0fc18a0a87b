package countersign

import "time"

// Request is an action that waits for a person.
type Request struct {
	ID      string
	Session string
	Action  Action
	Digest  string // action digest: what an approval binds
	Reuse   string // reuse key: finds the same command again
	Ruling  Ruling
	Since   time.Time
	// Pending is false once the attempt has been answered by the time limit;
	// the request itself stays on the desk.
	Pending bool
}
