//go:build linux

package ledger_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"

	countersign "github.com/countersign/countersign"
	"github.com/countersign/countersign/ledger"
)

// withPayloads is a record that brings two payloads.
func withPayloads(i int) countersign.Record {
	r := rec(i)
	r.Payloads = []countersign.Payload{
		{Role: "answer", Media: "text/plain", Plain: fmt.Appendf(nil, "the answer %d %s", i, strings.Repeat("a", i*131%5000))},
		{Role: "said", Media: "application/json", Plain: fmt.Appendf(nil, `{"text":"%d"}`, i)},
	}
	return r
}

// refsOpen opens every payload that a record of the ledger points at.
func refsOpen(t *testing.T, dir string) (n int) {
	t.Helper()
	for _, r := range lines(t, dir) {
		for _, p := range r.Payloads {
			if _, err := ledger.OpenBlob(dir, p); err != nil {
				t.Errorf("record %d points at a payload that is not there: %v", r.Seq, err)
			}
			n++
		}
	}
	return n
}

func TestARecordBringsItsPayloads(t *testing.T) {
	dir := t.TempDir()
	c, p := dial(t, dir)
	var wg sync.WaitGroup
	for i := range 60 {
		wg.Go(func() {
			r := withPayloads(i)
			if i%20 == 0 { // more than goes along: one by one
				r.Payloads[0].Plain = []byte(strings.Repeat("b", 2<<20))
			}
			if _, err := c.Append(t.Context(), r, i%2 == 0); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	big := rec(1)
	big.Payloads = []countersign.Payload{{Role: "x", Plain: []byte("y")}}
	big.Action.Summary = strings.Repeat("x", 16<<10)
	if _, err := c.Append(t.Context(), big, true); countersign.CodeOf(err) != countersign.EInvalid {
		t.Errorf("a record too long: %v", err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Append(context.Background(), withPayloads(1), true); countersign.CodeOf(err) != countersign.EClosed {
		t.Errorf("to a closed client: %v", err)
	}
	if err := p.wait(t); err != nil {
		t.Fatal(err)
	}
	state := dirs(dir).State
	if n := refsOpen(t, state); n != 120 {
		t.Errorf("%d payloads, want 120", n)
	}
	for _, r := range lines(t, state) {
		if len(r.Payloads) == 0 {
			continue
		}
		if b, err := ledger.OpenBlob(state, r.Payloads[1]); err != nil || !strings.HasPrefix(r.Action.Summary, "step "+strings.Trim(string(b), `{"text:}`)+" ") {
			t.Errorf("%s has the payload %s (%v)", r.Action.Summary, b, err)
		}
	}
	sound(t, state, ledger.VerifyOptions{})
}

// A kill at any moment: no record points at a payload that is not there, and what
// was acknowledged is there with its payloads.
func TestKillLeavesNoRecordWithoutItsPayloads(t *testing.T) {
	dir := t.TempDir()
	var ids []string
	for round := range 3 {
		c, p := dial(t, dir)
		var mu sync.Mutex
		var wg sync.WaitGroup
		for w := range 16 {
			wg.Go(func() {
				for i := 0; ; i++ {
					r, err := c.Append(t.Context(), withPayloads(i+w), i%2 == 0)
					if err != nil {
						if code := countersign.CodeOf(err); code != countersign.EClosed {
							t.Errorf("a dead ledger gives %s: %v", code, err)
						}
						return
					}
					mu.Lock()
					ids = append(ids, r.ID)
					n := len(ids)
					mu.Unlock()
					if n == (round+1)*300 {
						_ = p.cmd.Process.Kill()
					}
				}
			})
		}
		wg.Wait()
		closed(t, c)
	}
	c, p := dial(t, dir)
	if err := errors.Join(c.Close(), p.wait(t)); err != nil {
		t.Fatal(err)
	}
	have := map[string]bool{}
	for _, r := range lines(t, dirs(dir).State) {
		have[r.ID] = true
	}
	for _, id := range ids {
		if !have[id] {
			t.Errorf("record %s was acknowledged and is lost", id)
		}
	}
	if n := refsOpen(t, dirs(dir).State); n < 2*len(ids) {
		t.Errorf("%d payloads, %d were acknowledged", n, 2*len(ids))
	}
	sound(t, dirs(dir).State, ledger.VerifyOptions{})
}

// A real error of the kernel at any write or flush, of the pack's too: the ledger
// ends, and no record points at what is not there.
func TestKernelErrorsAtPayloadsCloseTheLedger(t *testing.T) {
	for _, call := range []string{"fdatasync:error=EIO", "pwrite64:error=EIO", "pwrite64:error=ENOSPC"} {
		for _, k := range []int{4, 6, 8, 11, 14} {
			t.Run(fmt.Sprintf("%s %d", call, k), func(t *testing.T) {
				t.Parallel()
				dir := t.TempDir()
				c, bad := injected(t, dir, fmt.Sprintf("%s:when=%d+", call, k))
				acked := 0
				if c != nil {
					for i := range 3000 {
						if _, err := c.Append(t.Context(), withPayloads(i), i%2 == 0); err == nil {
							acked++
						} else if countersign.CodeOf(err) == countersign.EClosed {
							break
						} else {
							t.Fatal(err)
						}
					}
					closed(t, c)
				}
				if err := bad.wait(t); err == nil {
					t.Error("the process ended as if all were well")
				}
				d, p := dial(t, dir)
				if err := errors.Join(d.Close(), p.wait(t)); err != nil {
					t.Fatal(err)
				}
				if n := refsOpen(t, dirs(dir).State); n < acked { // half were asked to be durable, with two each
					t.Errorf("%d payloads of %d records that were acknowledged", n, acked)
				}
				sound(t, dirs(dir).State, ledger.VerifyOptions{})
			})
		}
	}
}

// A disk that payloads fill up is told in the ledger, which then ends.
func TestFullDiskOfPayloads(t *testing.T) {
	dir := t.TempDir()
	state := dirs(dir).State
	if err := os.MkdirAll(state, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", state, "tmpfs", 0, "size=3m,mode=700"); err != nil {
		t.Skipf("no small file system can be mounted here (%v): root is needed", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(state, syscall.MNT_DETACH) })
	c, p := dial(t, dir)
	n := 0
	for {
		r := withPayloads(n)
		r.Payloads[0].Plain = make([]byte, 60<<10)
		if _, err := c.Append(t.Context(), r, true); err != nil {
			if countersign.CodeOf(err) != countersign.EClosed || !strings.Contains(err.Error(), "no space left") || countersign.RemedyOf(err) == "" {
				t.Errorf("got %v", err)
			}
			break
		}
		if n++; n > 1000 {
			t.Fatal("the disk never fills")
		}
	}
	if err := p.wait(t); err == nil {
		t.Error("the process ended as if all were well")
	}
	all := lines(t, state)
	if last := all[len(all)-1]; last.Type != "ledger.closed" || last.Detail["reason"] != "enospc" {
		t.Errorf("the last record is %s %v", last.Type, last.Detail)
	}
	if have := refsOpen(t, state); n == 0 || have < 2*n {
		t.Errorf("%d payloads, of %d records that were acknowledged", have, n)
	}
	sound(t, state, ledger.VerifyOptions{})
}

// The kernel's own view: between a write, of a pack or of a segment, and the
// answer to who waits for it stands a flush of that file that has returned, or of a
// pack with a copy of what was written.
func TestNoAnswerBeforeTheFlushOfItsPayloads(t *testing.T) {
	if _, err := exec.LookPath("strace"); err != nil {
		t.Skip("strace is not installed: the order is not looked at")
	}
	dir := t.TempDir()
	trace := filepath.Join(dir, "trace")
	c, p := dial(t, dir, "strace", "-f", "-qq", "-y", "-s", "20", "-o", trace, "-e", "trace=fdatasync,pwrite64,write")
	const n = 30
	for i := range n {
		if _, err := c.Append(t.Context(), withPayloads(i), true); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(c.Close(), p.wait(t)); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(trace)
	if err != nil {
		t.Fatal(err)
	}
	if answers, early := early(string(b)); answers < n || early > 0 {
		t.Errorf("%d answers, %d before their flushes", answers, early)
	}
	// The check itself must see a missing flush, and a missing copy.
	for _, name := range []string{`fdatasync\(\d+<[^>]*\.pack>`, `segment\\n|fdatasync\(\d+<[^>]*\.led(\.new)?>`} {
		if _, early := early(regexp.MustCompile(name).ReplaceAllString(string(b), "gone(")); early < n {
			t.Errorf("without any %s the check finds only %d answers that came early", name, early)
		}
	}
}

var (
	written  = regexp.MustCompile(`^(\d+) +pwrite64\(\d+<([^>]*)>`)
	copied   = regexp.MustCompile(`pwrite64\(\d+<[^>]*\.pack>, ".*segment\\n`)
	flushing = regexp.MustCompile(`^(\d+) +fdatasync\(\d+<([^>]*)>`)
	returned = regexp.MustCompile(`^(\d+) .*fdatasync(\(.*\)| resumed>\)) += 0`)
)

// early counts the answers that carry a record, and those of them that came while
// a pack or a segment had something that no flush had brought to the disk.
func early(trace string) (answers, early int) {
	dirty, under := map[string]bool{}, map[string]string{} // files; what a thread flushes
	for line := range strings.Lines(trace) {
		if m := written.FindStringSubmatch(line); m != nil {
			dirty[strings.TrimSuffix(m[2], ".new")] = true
		}
		if copied.MatchString(line) {
			maps.DeleteFunc(dirty, func(name string, _ bool) bool { return strings.HasSuffix(name, ".led") })
		}
		if m := flushing.FindStringSubmatch(line); m != nil {
			under[m[1]] = strings.TrimSuffix(m[2], ".new")
		}
		if m := returned.FindStringSubmatch(line); m != nil {
			delete(dirty, under[m[1]])
		}
		if answer.MatchString(line) {
			answers++
			if len(dirty) > 0 {
				early++
			}
		}
	}
	return answers, early
}
