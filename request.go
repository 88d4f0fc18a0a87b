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
	// Early is set where the model has asked for the command and its agent has not
	// tried it yet: the answer is that of the first attempt of the same command.
	Early bool
	// Confirm is the word that an approval must come with; empty: none.
	Confirm string
	// Last is the last approved command of its kind in this session, and when; for
	// the person's eye.
	Last   []string
	LastAt time.Time
}
