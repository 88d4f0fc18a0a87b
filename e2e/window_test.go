package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// spin lists its directory without pause, opens each new secret as often as it
// can until it is refused, and goes on trying all that were refused before. At
// the end it prints a line for each: its name, when it was first read and first
// refused (CLOCK_MONOTONIC, ns), how often it was read, and how often it was read
// again after a refusal.
const spin = `
import os, json, time
now, seen = time.monotonic_ns, {}
def look(name):
    s = seen.setdefault(name, {"name": name, "read": 0, "first": 0, "refused": 0, "again": 0})
    try:
        fd = os.open(name, os.O_RDONLY)
        got = os.read(fd, 99)
        os.close(fd)
        if b"SECRET" in got:
            s["first"] = s["first"] or now()
            s["read"] += 1
            s["again"] += s["refused"] > 0
    except PermissionError:
        s["refused"] = s["refused"] or now()
    except FileNotFoundError:
        pass
open("ready", "w").close()
names = []
while "stop" not in names: # a name that was asked for in vain would stay unseen: the overlay caches that
    names = os.listdir(".")
    for name in names:
        if name.endswith(".pem"):
            while not (name in seen and seen[name]["refused"]):
                look(name)
    if seen:
        look(list(seen)[now() % len(seen)])
for name in list(seen):
    look(name)
    print(json.dumps(seen[name]), flush=True)
`

// The one window there is: over an overlay a denied name that is new on the host
// is open from its birth until its node lies. How long that is, is measured; that
// a name once closed stays closed, and that each is, is held.
func TestWindowOfNewNamesInAnOverlay(t *testing.T) {
	if _, err := exec.LookPath("python3"); err != nil {
		t.Skip("no python3")
	}
	w := newWorld(t, users()[len(users())-1])
	w.write("spin.py", spin)
	w.repo()
	const names = 100
	j := w.start("run", "--approver", "none", "--backend", "overlay", "--", "python3", "spin.py")
	staged := func() bool {
		got, _ := exec.Command("find", w.root+"/state/countersign/sessions", "-name", "ready").Output()
		return len(got) > 0
	}
	eventually(t, "the reader spins", staged)
	born := map[string]int64{}
	for i := range names {
		name := fmt.Sprintf("k%d.pem", i)
		w.write(".t", "SECRET\n")
		born[name] = monotonic(t)
		if err := os.Rename(w.project+"/.t", w.project+"/"+name); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Millisecond) // the rhythm of the names; nothing is decided by it
	}
	w.write("stop", "")
	r := j.wait()
	var open []time.Duration
	reads, refused := 0, 0
	for line := range strings.Lines(r.out) {
		var got struct {
			Name                        string
			First, Refused, Read, Again int64
		}
		if err := json.Unmarshal([]byte(line), &got); err != nil {
			continue
		}
		if got.Again > 0 {
			t.Errorf("%s was read %d times after it had been refused", got.Name, got.Again)
		}
		if got.Refused == 0 {
			t.Errorf("%s was never closed", got.Name)
			continue
		}
		refused++
		if got.Read > 0 {
			reads++
		}
		open = append(open, time.Duration(got.Refused-born[got.Name]))
	}
	if refused != names {
		t.Fatalf("%d names were refused, want %d\n%s\n%s", refused, names, r.out, r.err)
	}
	slices.Sort(open)
	t.Logf("open for p50 %v, p99 %v, at most %v; %d of %d were read before", open[names/2], open[names*99/100], open[names-1], reads, names)
	for _, h := range w.hunks() {
		if strings.HasSuffix(h.Path, ".pem") {
			t.Errorf("covering made a change of the session's: %+v", h)
		}
	}
}

func monotonic(t *testing.T) int64 {
	t.Helper()
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		t.Fatal(err)
	}
	return ts.Nano()
}

// A file that was open under its names closes under all of them when the person
// gives it a denied one too.
func TestOldNamesOfADeniedFileClose(t *testing.T) {
	for _, backend := range []string{"snapshot", "overlay"} {
		t.Run(backend, func(t *testing.T) {
			w := newWorld(t, users()[len(users())-1])
			w.write("plain", "SECRET\n")
			w.write("deep/.keep", "")
			w.write(".gitignore", "agent.sh\ninner.sh\n")
			w.exec("ln", "plain", "deep/other")
			w.repo()
			a := w.steps("--backend", backend)
			if a.sees("plain") != "SECRET\n" || a.sees("deep/other") != "SECRET\n" {
				t.Fatal("it is not open before")
			}
			w.exec("ln", "plain", "key.pem")
			for _, name := range []string{"key.pem", "plain", "deep/other"} {
				eventually(t, name+" is closed", func() bool {
					r := a.in("cat", name)
					return r.code != 0 && strings.Contains(r.err, "denied")
				})
			}
			a.end()
		})
	}
}
