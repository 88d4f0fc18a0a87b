package tripwire

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/countersign/countersign/sandbox/hostwatch"
)

// The one window there is: over an overlay, a denied name that is new on the
// host is open from its birth until its node is laid. How long that is, and how
// many names a reader catches who does nothing but list and read, is measured
// here and stated in docs/threat-model.md. Once laid, every node holds.
func TestWindowOfNewNamesOverAnOverlay(t *testing.T) {
	const names = 200
	for _, reading := range []bool{false, true} {
		t.Run(map[bool]string{false: "nobody reads", true: "somebody spins"}[reading], func(t *testing.T) {
			window(t, names, reading)
		})
	}
}

func window(t *testing.T, names int, reading bool) {
	w := newWorld(t)
	real, merged := w.dir+"/real", w.dir+"/merged"
	for _, d := range []string{real, merged, w.dir + "/upper", w.dir + "/work"} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if r := w.order(order1{Op: "overlay", Path: merged, Data: fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s,userxattr", real, w.dir+"/upper", w.dir+"/work")}); r.Err != "" {
		t.Skipf("no overlay here: %s", r.Err)
	}
	var mu sync.Mutex // the harness takes one order at a time
	born, laid := map[string]time.Time{}, []time.Duration{}
	match := func(rel string, _ bool) (string, bool) { return "pem", strings.HasSuffix(rel, ".pem") }
	_, err := hostwatch.Watch(t.Context(), real, match, func(string) bool { return false }, func(e hostwatch.Event) {
		if e.Kind != hostwatch.Appeared {
			return
		}
		mu.Lock()
		defer mu.Unlock()
		a, err := Attrs(real + "/" + e.Rel)
		if err != nil {
			t.Error(err)
			return
		}
		w.next++
		n := Node{ID: w.next, Path: merged + "/" + e.Rel, Rule: e.Rule, Attr: a}
		if err := w.srv.Add(n); err != nil {
			t.Error(err)
			return
		}
		if r := w.order(order1{Op: "bind", Node: n.ID, Path: n.Path}); r.Err != "" {
			t.Errorf("%s: %s", n.Path, r.Err)
		}
		laid = append(laid, time.Since(born[e.Rel]))
	})
	if err != nil {
		t.Fatal(err)
	}
	if reading {
		w.order(order1{Op: "start", Path: merged, Argv: []string{exe(t), "__probe", "first", ".", fmt.Sprint(names)}, Env: commandEnv(t, merged)})
	}
	for i := range names {
		tmp, name := fmt.Sprintf("%s/.tmp%d", real, i), fmt.Sprintf("%d.pem", i)
		write(t, tmp, canary, 0o644)
		mu.Lock()
		born[name] = time.Now()
		mu.Unlock()
		if err := os.Rename(tmp, real+"/"+name); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Millisecond) // the rhythm of the names; nothing is decided by it
	}
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		mu.Lock()
		n := len(laid)
		mu.Unlock()
		if n == names {
			break
		}
	}
	mu.Lock()
	defer mu.Unlock()
	slices.Sort(laid)
	if len(laid) != names {
		t.Fatalf("%d nodes laid, want %d", len(laid), names)
	}
	t.Logf("laid after p50 %v, p95 %v, at most %v", laid[names/2], laid[names*95/100], laid[names-1])
	if reading {
		t.Logf("read first, and refused: %s", w.order(order1{Op: "wait"}).Out)
	}
	if r := w.run(merged, "sh", "-c", "cat *.pem"); strings.Contains(r.Out, canary) || strings.Count(r.Out, "Permission denied") != names {
		t.Errorf("a name is open although its node is laid: %d refused", strings.Count(r.Out, "Permission denied"))
	}
}
