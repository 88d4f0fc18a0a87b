//go:build amd64 || arm64

package execgate

import (
	"fmt"
	"maps"
	"sync"
	"time"

	countersign "github.com/countersign/countersign"
	"github.com/countersign/countersign/internal/procstat"
)

// root is a decided command. It is tainted once something under it runs a
// program that nobody saw: an orphan of that must not be adopted into cover.
type root struct {
	countersign.CoverRoot
	id      uint64 // of its process
	debugs  bool   // it may trace what it started
	tainted bool
	ended   time.Time // zero: it was not seen to end
}

// image is what a process's last verified exec made of it.
type image struct {
	id      uint64 // of the process
	root    *root  // the decided command it is or runs under; nil: none
	covers  bool   // root reaches through this process
	alone   bool   // … but not to what it starts: it is the agent once more
	decided bool
	argv    []string
	action  countersign.Action
	permit  countersign.Permit
	pins    *pins // scripts that were to be opened by this very process
	// strangers are the children that it had before it became a decided command,
	// by pid and identity: what forked them was not what was approved.
	strangers map[int]uint64
}

// tree is what is known of the processes, by pid and identity.
type tree struct {
	mu      sync.Mutex
	images  map[int]*image
	reapers map[int]uint64 // pid -> identity of child subreapers
	census  procstat.Census
	swept   int
	buf     [1024]byte
}

func newTree() *tree {
	return &tree{images: map[int]*image{}, reapers: map[int]uint64{}}
}

func (tr *tree) image(pid int, id uint64) *image {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	return tr.imageLocked(pid, id)
}

func (tr *tree) imageLocked(pid int, id uint64) *image {
	if img := tr.images[pid]; img != nil && img.id == id {
		return img
	}
	return nil
}

func (tr *tree) set(pid int, img *image) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	if was := tr.imageLocked(pid, img.id); was != nil && !img.decided { // in the place of the same command
		if img.strangers == nil {
			img.strangers = map[int]uint64{}
		}
		maps.Copy(img.strangers, was.strangers)
	}
	tr.images[pid] = img
	if img.root != nil && (!img.covers || img.alone || len(img.strangers) > 0) {
		img.root.tainted = true
	}
}

// alone reports whether a process is the agent once more.
func (tr *tree) alone(pid int, id uint64) bool {
	img := tr.image(pid, id)
	return img != nil && img.alone
}

// opened takes note that a process holds its script.
func (tr *tree) opened(pid int) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	if img := tr.images[pid]; img != nil {
		img.pins = nil
	}
}

func (tr *tree) taint(r *root) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	r.tainted = true
}

func (tr *tree) reaper(pid int, id uint64, on bool) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	if on {
		tr.reapers[pid] = id
	} else {
		delete(tr.reapers, pid)
	}
}

// cover proves the lineage of a process: the very process's earlier covered
// exec, or a chain of live parents up to the decided command. nil: no cover.
func (tr *tree) cover(t *target) *root {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	if img := tr.imageLocked(t.tgid, t.who.ID); img != nil {
		if !img.covers {
			return nil
		}
		return img.root
	}
	r, _, _ := tr.climb(t.tgid, t.who.Parent, t.who.ID)
	return r
}

func (tr *tree) ended(r *root, at time.Time) {
	if r == nil {
		return
	}
	tr.mu.Lock()
	defer tr.mu.Unlock()
	r.ended = at
}

// outlived says of a process without cover that it is what an approved command
// left behind, or nothing.
func (tr *tree) outlived(t *target) string {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	if tr.imageLocked(t.tgid, t.who.ID) != nil {
		return "" // it was decided by itself
	}
	_, met, alone := tr.climb(t.tgid, t.who.Parent, t.who.ID)
	switch {
	case alone:
		return "the process that started it has ended, and no approved command is proven above it; what outlives its command asks again"
	case met == nil:
		return ""
	case !met.ended.IsZero():
		return fmt.Sprintf("its approved command (pid %d) ended at %s; what outlives its command asks again", met.PID, met.ended.UTC().Format(time.RFC3339))
	}
	if who, err := tr.census.Identify(met.PID, tr.buf[:]); err != nil || who.ID != met.id {
		return fmt.Sprintf("its approved command (pid %d) has ended; what outlives its command asks again", met.PID)
	}
	return fmt.Sprintf("a process between it and its approved command (pid %d) has ended; what is cut off from its command asks again", met.PID)
}

const maxDepth = 1 << 12

// climb follows live parents. The first that has executed something names the
// root; from there on every parent must lead on to it. A parent that started
// later than its child is another process with the same number, and a child
// that is older than its parent's approval was not started under it. met is the
// root that was named, proven or not; alone tells that nothing above has executed
// anything.
func (tr *tree) climb(child, pid int, below uint64) (proven, met *root, alone bool) {
	var r *root
	adopted, alone := false, true
	for depth := 0; pid > 1 && depth < maxDepth; depth++ {
		who, err := tr.census.Identify(pid, tr.buf[:])
		if err != nil || who.ID > below {
			break
		}
		if img := tr.imageLocked(pid, who.ID); img != nil {
			alone = false
			if !img.covers || img.alone || img.root == nil {
				return nil, nil, false
			}
			if since, ok := img.strangers[child]; ok && since == below {
				return nil, nil, false
			}
			if r == nil {
				r = img.root
			}
		}
		if tr.reapers[pid] == who.ID {
			adopted = true
		}
		if r != nil && r.PID == pid && r.id == who.ID {
			if adopted && r.tainted {
				return nil, r, false
			}
			return r, r, false
		}
		child, pid, below = pid, who.Parent, who.ID
	}
	return nil, r, alone
}

// sweep forgets processes that are gone, once enough have gathered.
func (tr *tree) sweep() {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	if len(tr.images) < 2*tr.swept+256 {
		return
	}
	for pid, img := range tr.images {
		if who, err := tr.census.Identify(pid, tr.buf[:]); err != nil || who.ID != img.id {
			delete(tr.images, pid)
		}
	}
	for pid, s := range tr.reapers {
		if who, err := tr.census.Identify(pid, tr.buf[:]); err != nil || who.ID != s {
			delete(tr.reapers, pid)
		}
	}
	tr.swept = len(tr.images)
}

func (tr *tree) list() []Process {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	var out []Process
	for pid, img := range tr.images {
		_, start, _, err := procstat.Read(pid, tr.buf[:])
		if err != nil {
			continue
		}
		who, err := tr.census.Identify(pid, tr.buf[:]) // after: the start is this one's
		if err != nil || who.ID != img.id {
			continue
		}
		p := Process{PID: pid, Start: start, Action: img.action, Permit: img.permit, Covered: !img.decided}
		if img.root != nil {
			r := img.root.CoverRoot
			p.Root = &r
			own := r.PID == pid && img.root.id == img.id
			proven, _, _ := tr.climb(pid, who.Parent, who.ID)
			p.Orphan = !own && proven != img.root
		}
		out = append(out, p)
	}
	return out
}
