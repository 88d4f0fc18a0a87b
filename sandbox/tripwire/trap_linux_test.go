package tripwire

import (
	"fmt"
	"testing"

	"golang.org/x/sys/unix"
)

// text lays a file over w.dir/text by way of an overlay whose upper and work
// directories are traps.
func (w *world) text(content string) {
	t := w.t
	t.Helper()
	write(t, w.dir+"/lower/text", content, 0o644)
	write(t, w.dir+"/merged/below", "", 0o644)
	a, err := Attrs(w.dir)
	if err != nil {
		t.Fatal(err)
	}
	var dirs []any
	for range 2 {
		w.next++
		n := Node{ID: w.next, Path: "/p/text", Rule: "rule", Attr: a, Maker: w.maker}
		if err := w.srv.Add(n); err != nil {
			t.Fatal(err)
		}
		dirs = append(dirs, w.mnt, n.ID)
	}
	data := fmt.Sprintf("lowerdir="+w.dir+"/lower,upperdir=%s/%d,workdir=%s/%d,userxattr", dirs...)
	if r := w.order(order1{Op: "overlay", Path: w.dir + "/merged", Data: data}); r.Err != "" {
		t.Fatal(r.Err)
	}
}

// TestTrapLetsReadAndReportsEachChange, once, with who tried, whatever the call.
func TestTrapLetsReadAndReportsEachChange(t *testing.T) {
	w := newWorld(t)
	w.text("first\n")
	for _, tt := range []struct{ name, sh, out, events string }{
		{"read", `cat text; cat < text; stat -c %s text; test -r text && head -c3 text; ls; grep -r first .`, "first\nfirst\n6\nfirtext\n./text:first\n", ""},
		{"copied", `cp text /tmp/t$$; cat /tmp/t$$; rm /tmp/t$$`, "first\n", ""},
		{"mapped", `$PROBE __probe mmap text >/dev/null; cat text`, "first\n", ""},
		{"written", `echo x 2>/dev/null >> text; cat text`, "first\n", "write"},
		{"read and written", `echo 2>/dev/null 9<> text; cat text`, "first\n", "write"},
		{"truncated", `: 2>/dev/null > text; cat text`, "first\n", "write"},
		{"truncated by name", `/usr/bin/python3 -c 'import os; os.truncate("text", 0)' 2>/dev/null; cat text`, "first\n", "write"},
		{"times", `/usr/bin/python3 -c 'import os; os.utime("text", (1, 1))' 2>/dev/null`, "", "write"},
		{"owner", `/usr/bin/python3 -c 'import os; os.chown("text", os.getuid(), os.getgid())' 2>/dev/null`, "", "write"},
		{"attributes", `/usr/bin/python3 -c 'import os; os.setxattr("text", "user.x", b"1")' 2>/dev/null`, "", "write"},
		{"mode", `chmod 600 text 2>/dev/null; stat -c %a text`, "644\n", "write"},
		{"descriptor opened again", `exec 9<text; echo x 2>/dev/null > /proc/self/fd/9; cat text`, "first\n", "write"},
		{"removed", `rm -f text 2>/dev/null; cat text`, "first\n", "write"},
		{"made beside it", `echo x 2>/dev/null > other; ls`, "text\n", "write"},
		{"a flood", `for i in 1 2 3 4 5 6 7 8; do echo 2>/dev/null x >> text; done; cat text`, "first\n", "write write write write write write write write"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w.t = t
			r := w.run(w.dir+"/merged", "bash", "-c", tt.sh)
			es := w.events()
			if got := ops(es); got != tt.events {
				t.Errorf("events %q, want %q", got, tt.events)
			}
			for _, e := range es {
				if e.Path != "/p/text" || e.Rule != "rule" || e.Peer.PID <= 1 || e.Peer.Exe == "" || len(e.Peer.Argv) == 0 {
					t.Errorf("%+v", e)
				}
			}
			if r.Out != tt.out {
				t.Errorf("printed %q, want %q", r.Out, tt.out)
			}
		})
	}
}

// TestEveryOtherOpcodeOnATrap is refused and reported, but for a maker.
func TestEveryOtherOpcodeOnATrap(t *testing.T) {
	free := map[uint32]bool{opLookup: true, opOpendir: true, opReaddir: true}
	for op := range uint32(80) {
		d, _, ctl := fakeKernel(t)
		d.nodes[2].Maker = 1 << 30
		r, _ := parseRequest(rawRequest(op, 2, make([]byte, 128)))
		if err := d.serve(r); err != nil {
			t.Fatalf("opcode %d: %v", op, err)
		}
		n, _ := unix.Read(ctl, make([]byte, 4096))
		if (n > 0) == (silent[op] || free[op]) {
			t.Errorf("opcode %d: reported %v", op, n > 0)
		}
	}
}
