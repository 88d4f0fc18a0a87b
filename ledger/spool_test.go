//go:build linux

package ledger_test

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	countersign "github.com/countersign/countersign"
	"github.com/countersign/countersign/ledger"
	"github.com/countersign/countersign/ledger/spool"
)

// killBoth lets a client write for a while and kills it and the ledger process
// in a random order. It returns the ids that the client was promised.
func killBoth(t *testing.T, dir string) (ids []string) {
	c, p := dial(t, dir)
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "LEDGER_CHATTER="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	after := 20 + rand.IntN(400)
	first, second := p.cmd.Process, cmd.Process
	if rand.IntN(3) == 0 {
		first, second = second, nil // the ledger process lives on
	}
	for sc := bufio.NewScanner(out); sc.Scan(); {
		if ids = append(ids, sc.Text()); len(ids) == after {
			_ = first.Kill()
			if second != nil {
				time.Sleep(time.Duration(rand.IntN(300)) * time.Microsecond)
				_ = second.Kill()
			}
		}
	}
	_ = cmd.Wait()
	_ = c.Close()
	_ = p.wait(t)
	return ids
}

func TestSpooledRecordsOutliveEveryKill(t *testing.T) {
	dir := t.TempDir()
	var ids []string
	rounds := 12
	if os.Getenv("COUNTERSIGN_LONG") != "" {
		rounds = 300
	}
	for range rounds {
		ids = append(ids, killBoth(t, dir)...)
	}
	c, p := dial(t, dir)
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if err := p.wait(t); err != nil {
		t.Fatalf("%v: %s", err, &p.out)
	}
	want := map[string]bool{}
	for _, id := range ids {
		want[id] = true
	}
	last, n := map[string]string{}, 0
	for _, r := range lines(t, dirs(dir).State) {
		pid, at, ok := strings.Cut(r.ID, "-")
		if len(pid) != 8 || !ok || len(at) != 8 {
			continue
		}
		if at <= last[pid] && last[pid] != "" {
			t.Fatalf("%s stands after %s", r.ID, last[pid])
		}
		last[pid] = at
		if want[r.ID] {
			n++
		}
	}
	if n != len(ids) || n == 0 {
		t.Errorf("%d of %d acknowledged records are there", n, len(ids))
	}
	if left, _ := filepath.Glob(filepath.Join(dirs(dir).State, spool.Dir, "*")); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
	sound(t, dirs(dir).State, ledger.VerifyOptions{})
}

// A record that somebody waits for comes after what its client spooled before.
func TestDurableRecordsComeAfterWhatWasSpooled(t *testing.T) {
	dir := t.TempDir()
	c, p := dial(t, dir)
	for i := range 200 {
		spooled(t, c, 2*i)
		r, err := c.Append(t.Context(), rec(2*i+1), true)
		if err != nil || r.Seq != uint64(2*i+3) {
			t.Fatalf("%d: %+v, %v", i, r, err)
		}
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	_ = p.wait(t)
	for i, r := range lines(t, dirs(dir).State)[1:401] {
		if want := rec(i).Action.Summary; r.Action.Summary != want {
			t.Fatalf("record %d is %q, want %q", i, r.Action.Summary, want)
		}
	}
}

// A long session's spool is exchanged, so that it does not grow for ever.
func TestSpoolIsExchanged(t *testing.T) {
	dir := t.TempDir()
	c, p := dial(t, dir)
	defer c.Close()
	const n = 1500
	var most int64
	for i := range n {
		r := rec(i)
		r.ID = fmt.Sprintf("0190a5c0-0000-7000-8000-%012d", i)
		r.Action.Argv = []string{strings.Repeat("z", 10_000)}
		if _, err := c.Append(t.Context(), r, false); err != nil {
			t.Fatal(err)
		}
		names, _ := filepath.Glob(filepath.Join(dirs(dir).State, spool.Dir, "*"))
		var size int64
		for _, name := range names {
			if fi, err := os.Stat(name); err == nil {
				size += fi.Size()
			}
		}
		most = max(most, size)
	}
	if most > 5<<20 {
		t.Errorf("the spools have grown to %d bytes", most)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	_ = p.wait(t)
	if all := lines(t, dirs(dir).State); len(all) != n+2 {
		t.Errorf("%d records, want %d", len(all), n+2)
	}
}

// Of a spool that was taken in nothing stays in memory: a session of hours has many.
func TestTakenSpoolsHoldNothing(t *testing.T) {
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- ledger.Serve(ctx, dirs(dir), ledger.ServeOptions{}) }()
	defer func() { cancel(); <-ended }()
	spooled := func(n int) {
		for i := range n {
			c, err := ledger.Dial(t.Context(), dirs(dir), func(context.Context) error { return nil })
			if err != nil {
				t.Fatal(err)
			}
			r := rec(i)
			r.ID = fmt.Sprintf("0190a5c0-0000-7000-8000-%012d", i)
			if _, err := c.Append(t.Context(), r, false); err != nil {
				t.Fatal(err)
			}
			if err := c.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
	held := func() int {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int(m.HeapAlloc)
	}
	spooled(2)
	before := held()
	spooled(60)
	if more := held() - before; more > 4<<20 {
		t.Errorf("%d bytes are held for 60 spools that are gone", more)
	}
}

// On a full disk the ledger process is asked, which has kept room; what it could
// not take in any more stays in the spool for the next start.
func TestFullDiskLosesNothingSpooled(t *testing.T) {
	dir := t.TempDir()
	state := dirs(dir).State
	if err := os.MkdirAll(state, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", state, "tmpfs", 0, "size=2500k,mode=700"); err != nil {
		t.Skipf("no small file system can be mounted here (%v): root is needed", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(state, syscall.MNT_DETACH) })
	c, p := dial(t, dir)
	n := 0
	for ; n < 3000; n++ {
		r := rec(n)
		r.ID = fmt.Sprintf("0190a5c0-0000-7000-8000-%012d", n)
		r.Action.Argv = []string{strings.Repeat("z", 4000)}
		if _, err := c.Append(t.Context(), r, false); err != nil {
			if countersign.CodeOf(err) != countersign.EClosed || countersign.RemedyOf(err) == "" {
				t.Errorf("got %v", err)
			}
			break
		}
	}
	if n == 3000 {
		t.Fatal("the disk never fills")
	}
	_ = c.Close() // it has told
	_ = p.wait(t)
	if err := syscall.Mount("", state, "", syscall.MS_REMOUNT, "size=20m"); err != nil {
		t.Fatal(err)
	}
	c, p = dial(t, dir)
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if err := p.wait(t); err != nil {
		t.Fatalf("%v: %s", err, &p.out)
	}
	seen := map[string]int{}
	for _, r := range lines(t, state) {
		seen[r.ID]++
	}
	for i := range n {
		if id := fmt.Sprintf("0190a5c0-0000-7000-8000-%012d", i); seen[id] != 1 {
			t.Fatalf("record %d of %d is there %d times", i, n, seen[id])
		}
	}
	sound(t, state, ledger.VerifyOptions{})
}

// Killed between taking a piece in and marking it as taken, the ledger process
// leaves a spool that says less than the ledger has.
func TestWhatWasTakenInIsNotTakenTwice(t *testing.T) {
	dir := t.TempDir()
	c, p := dial(t, dir)
	for i := range 50 {
		spooled(t, c, i)
	}
	if _, err := c.Append(t.Context(), rec(50), true); err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		spooled(t, c, 100+i)
	}
	_ = p.cmd.Process.Kill()
	_ = p.wait(t)
	_ = c.Close()
	names, err := filepath.Glob(filepath.Join(dirs(dir).State, spool.Dir, "*"))
	if err != nil || len(names) != 1 {
		t.Fatalf("%q, %v", names, err)
	}
	f, err := os.OpenFile(names[0], os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt(make([]byte, 8), int64(len("countersign spool 1\n"))); err != nil {
		t.Fatal(err)
	}
	fi, _ := f.Stat()
	if _, err := f.WriteAt([]byte("\x00\x00\x00\x40torn"), fi.Size()); err != nil {
		t.Fatal(err)
	}
	c, p = dial(t, dir)
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if err := p.wait(t); err != nil {
		t.Fatalf("%v: %s", err, &p.out)
	}
	seen, told := map[string]int{}, 0
	for _, r := range lines(t, dirs(dir).State) {
		seen[r.ID]++
		if r.Type == "ledger.recovered" && r.Detail["spool"] == filepath.Base(names[0]) && r.Detail["torn_bytes"] == 8.0 {
			told++
		}
	}
	for i := range 120 {
		if id := fmt.Sprintf("0190a5c0-0000-7000-8000-%012d", i); i < 50 || i >= 100 {
			if seen[id] != 1 {
				t.Errorf("record %d is there %d times", i, seen[id])
			}
		}
	}
	if told != 1 {
		t.Errorf("%d records tell of the spool that was found", told)
	}
	sound(t, dirs(dir).State, ledger.VerifyOptions{})
}
