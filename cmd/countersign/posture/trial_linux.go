package posture

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/countersign/countersign"
	"github.com/countersign/countersign/internal/trial"
)

// noteTime is how long a note may take that is already on its way.
const noteTime = 5 * time.Second

// Trial takes what is noted of the calls that a sandbox must refuse before its
// agent starts: they are no attempts of an agent's. When it is over it takes nothing
// more.
type Trial struct {
	Denied string // a file that the view denies, for it; empty: there is none

	mu   sync.Mutex
	over bool
	seen map[string]int
	news chan struct{}
}

// NewTrial returns a trial that has begun.
func NewTrial() *Trial { return &Trial{seen: map[string]int{}, news: make(chan struct{}, 1)} }

// Took takes a refusal, and reports whether it is the trial's.
func (t *Trial) Took(call string) bool {
	if t == nil {
		return false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.over {
		return false
	}
	t.seen[call]++
	select {
	case t.news <- struct{}{}:
	default:
	}
	return true
}

// Proof is what a trial showed.
type Proof struct {
	Tried  []string // the calls, in words
	Failed []string // which of them were not refused or noted as they must be, and how
}

// End waits for the notes that are on their way, ends the trial, and holds the
// answers against what must be. nodes is as for trial.Calls.
func (t *Trial) End(ctx context.Context, answers []int, nodes bool) (p Proof, err error) {
	calls := trial.Calls(nodes)
	ctx, cancel := context.WithTimeout(ctx, noteTime)
	defer cancel()
	for !t.noted(calls) && ctx.Err() == nil {
		select {
		case <-t.news:
		case <-ctx.Done():
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.over = true
	for i, c := range calls {
		p.Tried = append(p.Tried, c.Name)
		switch {
		case i >= len(answers):
			p.Failed = append(p.Failed, c.Name+": not tried")
		case answers[i] != int(c.Errno) && (c.Also == 0 || answers[i] != int(c.Also)):
			p.Failed = append(p.Failed, fmt.Sprintf("%s: answered %s, not %s", c.Name, word(answers[i]), word(int(c.Errno))))
		case c.Note != "" && t.seen[c.Note] != 1:
			p.Failed = append(p.Failed, fmt.Sprintf("%s: noted %d times, not once", c.Name, t.seen[c.Note]))
		}
	}
	if len(p.Failed) == 0 {
		return p, nil
	}
	return p, &countersign.Error{
		Code: countersign.EPosture, Op: "start the agent", Err: fmt.Errorf("%w: %s", errTrial, strings.Join(p.Failed, "; ")),
		Remedy: "no agent is started in it: `countersign doctor` says what this machine enforces, `countersign selftest` tries all of it",
	}
}

var errTrial = errors.New("the sandbox does not hold")

func (t *Trial) noted(calls []trial.Call) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, c := range calls {
		if c.Note != "" && t.seen[c.Note] == 0 {
			return false
		}
	}
	return true
}

func word(errno int) string {
	if errno == 0 {
		return "success"
	}
	return unix.ErrnoName(unix.Errno(errno))
}
