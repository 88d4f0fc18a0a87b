package apply

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	countersign "github.com/countersign/countersign"
	"github.com/countersign/countersign/internal/atomicfile"
	"github.com/countersign/countersign/internal/filelock"
	"github.com/countersign/countersign/workspace/store"
	"github.com/countersign/countersign/workspace/tree"
)

// job is one locked apply, undo or recovery.
type job struct {
	o      Options
	root   *tree.Root
	images *store.Store
}

// maxAttempts bounds how often an apply starts over because files changed under
// it; from half of them on, a file that changes is set aside at once.
const maxAttempts = 12

// open takes the project's lock and opens what a job needs.
func open(ctx context.Context, o Options) (*job, func(), error) {
	dir := applyDir(o.StateDir)
	fail := func(thing string, err error) error {
		return &countersign.Error{Code: countersign.EInternal, Op: "prepare to apply", Thing: thing, Err: err, Remedy: store.Remedy(err)}
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, nil, fail(dir, err)
	}
	unlock, err := filelock.Lock(ctx, filepath.Join(dir, "lock"))
	if err != nil {
		return nil, nil, &countersign.Error{Code: countersign.EInternal, Op: "lock", Thing: o.Root, Err: err, Remedy: "another apply on this project is running: wait for it"}
	}
	if o.Step == nil {
		o.Step = func(Step) error { return nil }
	}
	j := &job{o: o}
	if j.images, err = store.Open(filepath.Join(dir, "images")); err == nil {
		j.root, err = tree.OpenRoot(o.Root)
	}
	if err != nil {
		unlock()
		return nil, nil, fail(o.Root, err)
	}
	return j, func() { j.root.Close(); unlock() }, nil
}

// begin opens a job and settles what an earlier crash left.
func begin(ctx context.Context, o Options) (j *job, recovered string, done func(), err error) {
	if j, done, err = open(ctx, o); err != nil {
		return nil, "", nil, err
	}
	if recovered, err = j.recover(); err != nil {
		done()
		return nil, "", nil, err
	}
	return j, recovered, done, nil
}

// Apply writes the accepted and edited hunks to the real tree: all of them, or,
// with the code EPartly beside a full Result, all that are not stale. On any
// other error the tree is as it was.
func Apply(ctx context.Context, o Options) (Result, error) {
	j, recovered, done, err := begin(ctx, o)
	if err != nil {
		return Result{}, err
	}
	defer done()
	forced, drifts := map[string]bool{}, map[string]int{}
	for try := 0; ; try++ {
		res, err := j.attempt(ctx, forced)
		res.Recovered = recovered
		var d *driftError
		if err == nil || !errors.As(err, &d) {
			return res, err
		}
		if drifts[d.path]++; drifts[d.path] > 2 || try >= maxAttempts/2 {
			forced[d.path] = true
		}
		if try >= maxAttempts+len(o.Hunks) || ctx.Err() != nil {
			return Result{Recovered: recovered}, &countersign.Error{Code: countersign.EInternal, Op: "apply to", Thing: d.path, Err: err, Remedy: "stop what is writing there and try again"}
		}
	}
}

// attempt plans and carries out once.
func (j *job) attempt(ctx context.Context, forced map[string]bool) (Result, error) {
	if err := j.o.Step(StepPlan); err != nil {
		return Result{}, err
	}
	p := &plan{root: j.root, store: j.o.Store, images: j.images, forced: forced}
	if err := p.makePlan(j.o.Hunks); err != nil {
		return Result{}, j.explain(err)
	}
	jn, err := p.journal(j.o.Session)
	if err != nil {
		return Result{}, j.explain(err)
	}
	res := p.result(jn)
	if len(jn.Entries)+len(jn.Moves) > 0 {
		if err := j.carryOut(ctx, jn, len(p.stale)); err != nil {
			return Result{Stale: nil}, err
		}
	}
	if len(res.Stale) > 0 {
		return res, partly(res)
	}
	return res, nil
}

func partly(res Result) error {
	var names []string
	for _, h := range res.Stale[:min(len(res.Stale), 3)] {
		names = append(names, fmt.Sprintf("%s (%s: %s)", h.ID, h.Path, h.Why))
	}
	if len(res.Stale) > 3 {
		names = append(names, fmt.Sprintf("and %d more", len(res.Stale)-3))
	}
	return &countersign.Error{Code: countersign.EPartly, Op: "apply", Err: fmt.Errorf("%d hunks applied, %d stayed behind: %s", len(res.Applied), len(res.Stale), strings.Join(names, ", ")), Remedy: "countersign review shows them again"}
}

func (j *job) engine(jn *journal) *engine {
	return &engine{root: j.root, j: jn, step: j.o.Step, noExchange: j.o.noExchange}
}

// carryOut runs a journal from its first write to its end.
func (j *job) carryOut(ctx context.Context, jn *journal, stale int) error {
	e := j.engine(jn)
	if err := j.o.Step(StepImages); err != nil {
		return err
	}
	if err := j.images.Flush(); err != nil {
		return err
	}
	if err := j.o.Step(StepJournal); err != nil {
		return err
	}
	if err := jn.write(j.o.StateDir); err != nil {
		return err
	}
	err := j.o.Step(StepRecord)
	if err == nil && j.o.Record != nil {
		err = j.o.Record(ctx, jn.record(stale))
	}
	if err == nil {
		err = e.temps()
	}
	if err == nil {
		jn.State = swapping
		err = jn.write(j.o.StateDir)
	}
	if err == nil {
		err = e.swap()
	}
	if err == nil {
		err = e.verify()
	}
	if err == nil {
		err = j.o.Step(StepCommit)
	}
	if err == nil {
		jn.State = committed
		if err = jn.write(j.o.StateDir); err != nil {
			// Whether the disk has it is unknown: what the file says decides.
			if on, rerr := readJournal(journalPath(j.o.StateDir)); rerr == nil && on != nil {
				jn.State = on.State
			}
		}
	}
	if err != nil && jn.State != committed {
		return j.takeBack(e, err)
	}
	// From here on it is done; what is left is removed now or at the next start.
	_ = j.finish(e)
	return nil
}

// takeBack rolls back after an error and returns it, or says that even that
// failed.
func (j *job) takeBack(e *engine, cause error) error {
	kept, err := e.rollback(j.images)
	if err == nil {
		err = j.dropJournal()
	}
	if err != nil {
		return &countersign.Error{Code: countersign.EInternal, Op: "take back the apply", Thing: j.o.Root, Err: errors.Join(cause, err), Remedy: "the journal is kept: the next apply, or a new start, takes it back"}
	}
	if len(kept) > 0 {
		cause = fmt.Errorf("%w (left as somebody changed it meanwhile: %s)", cause, strings.Join(kept, ", "))
	}
	return j.explain(cause)
}

// explain makes an error readable; drift and what is readable already stay.
func (j *job) explain(err error) error {
	var d *driftError
	var e *countersign.Error
	if errors.As(err, &d) || errors.As(err, &e) {
		return err
	}
	return &countersign.Error{Code: countersign.EInternal, Op: "apply to", Thing: j.o.Root, Err: err, Remedy: store.Remedy(err)}
}

func (j *job) dropJournal() error {
	if err := os.Remove(journalPath(j.o.StateDir)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return atomicfile.SyncDir(applyDir(j.o.StateDir))
}

// finish removes what was displaced and keeps the journal for an undo.
func (j *job) finish(e *engine) error {
	if err := e.clean(); err != nil {
		return err
	}
	if err := e.step(StepDone); err != nil {
		return err
	}
	if e.j.Kind == "undo" {
		if err := gone(os.Remove(lastPath(j.o.StateDir))); err != nil {
			return err
		}
		if err := j.dropJournal(); err != nil {
			return err
		}
		return j.images.Sweep(func(string) bool { return false })
	}
	if err := os.Rename(journalPath(j.o.StateDir), lastPath(j.o.StateDir)); err != nil {
		return err
	}
	if err := atomicfile.SyncDir(applyDir(j.o.StateDir)); err != nil {
		return err
	}
	keep := map[string]bool{}
	for _, en := range e.j.Entries {
		keep[en.Pre.sum()] = true
	}
	return j.images.Sweep(func(sum string) bool { return keep[sum] })
}

// Recover finishes or undoes what a crash left, and says in words what it did;
// "" if there was nothing. The root may be empty: the journal knows it.
func Recover(stateDir, root string) (what string, err error) {
	jn, err := readJournal(journalPath(stateDir))
	if err != nil || jn == nil {
		return "", err
	}
	if root == "" {
		root = string(jn.Root)
	}
	j, done, err := open(context.Background(), Options{Root: root, StateDir: stateDir})
	if err != nil {
		return "", err
	}
	defer done()
	return j.recover()
}

func (j *job) recover() (string, error) {
	jn, err := readJournal(journalPath(j.o.StateDir))
	if err != nil || jn == nil {
		return "", err
	}
	if string(jn.Root) != j.o.Root {
		return "", &countersign.Error{Code: countersign.EInvalid, Op: "recover an apply", Thing: j.o.StateDir, Err: fmt.Errorf("its journal is of %s", jn.Root), Remedy: "give each project its own state directory"}
	}
	e := j.engine(jn)
	name := fmt.Sprintf("%s %s of %d paths", jn.Kind, jn.ID, len(jn.Entries)+len(jn.Moves))
	if jn.State == committed {
		if err := j.finish(e); err != nil {
			return "", j.explain(err)
		}
		return "finished " + name + ", which had been interrupted after its last write", nil
	}
	kept, err := e.rollback(j.images)
	if err == nil {
		err = j.dropJournal()
	}
	if err != nil {
		return "", &countersign.Error{Code: countersign.EInternal, Op: "take back the interrupted apply", Thing: j.o.Root, Err: err, Remedy: "mend what is named and try again; the journal is kept"}
	}
	what := "took back " + name + ", which had been interrupted"
	if len(kept) > 0 {
		what += "; left as somebody changed it meanwhile: " + strings.Join(kept, ", ")
	}
	return what, nil
}
