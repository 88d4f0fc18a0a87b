package tripwire

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// shelf lays a shelf over a directory of the world.
func (w *world) shelf(files ...Shelved) (dir string, n Node) {
	w.t.Helper()
	dir = w.dir + "/shelf"
	write(w.t, dir+"/below", canary, 0o644)
	n = w.cover(dir, "shelf")
	if err := w.srv.Shelve(n.ID, files); err != nil {
		w.t.Fatal(err)
	}
	return dir, n
}

var shelved = []Shelved{
	{Dir: "ab", Name: "one", Content: []byte("stand-in 1\n"), Node: 5, Path: "/p/.env", Rule: "env"},
	{Dir: "ab", Name: "two", Content: []byte("stand-in 2\n"), Node: 5, Path: "/p/.env", Rule: "env"},
	{Dir: "00", Name: "three", Content: []byte("stand-in 3\n"), Node: 6, Path: "/p/key.pem", Rule: "keys"},
}

// TestShelfIsReadAndReported: the files of a shelf open, each program that reads one
// is one event for each path, and nothing else of a shelf can be had or changed.
func TestShelfIsReadAndReported(t *testing.T) {
	w := newWorld(t)
	w.shelf(shelved...)
	for _, tt := range []struct{ name, sh, out, events string }{
		{"look about", `ls -R shelf; stat -c %s shelf/ab/one; test -r shelf/00/three; find shelf -size +9; cd shelf/ab; ls`, "*", ""},
		{"names that are not there", `cat shelf/ab/none shelf/zz/one shelf/below 2>/dev/null`, "", ""},
		{"read", `cat shelf/ab/one`, "stand-in 1\n", "/p/.env env withheld"},
		{"by descriptor of a directory", `$PROBE __probe dirfd shelf shelf/00 three || $PROBE __probe opath shelf/00/three`, "*", "/p/key.pem keys write, /p/key.pem keys withheld"},
		{"map", `$PROBE __probe mmap shelf/00/three >/dev/null`, "", "/p/key.pem keys withheld"},
		{"one program, one path, one event", `cat shelf/ab/one shelf/ab/two shelf/ab/one`, "stand-in 1\nstand-in 2\nstand-in 1\n", "/p/.env env withheld"},
		{"two paths, two events", `cat shelf/*/*`, "stand-in 3\nstand-in 1\nstand-in 2\n", "/p/key.pem keys withheld, /p/.env env withheld"},
		{"two programs, two events", `cat shelf/ab/one; cat shelf/ab/one`, "stand-in 1\nstand-in 1\n", "/p/.env env withheld, /p/.env env withheld"},
		{"one process, two programs", `exec 3<shelf/ab/one; exec cat shelf/ab/one`, "stand-in 1\n", "/p/.env env withheld, /p/.env env withheld"},
		{"copied", `cp -r --no-preserve=mode shelf copy; cat copy/ab/two; rm -rf copy`, "stand-in 2\n", "/p/.env env withheld, /p/key.pem keys withheld"},
		{"written", `echo x 2>/dev/null >> shelf/ab/one; cat shelf/ab/one`, "stand-in 1\n", "/p/.env env write, /p/.env env withheld"},
		{"truncated", `: 2>/dev/null > shelf/ab/one`, "", "/p/.env env truncate"},
		{"times", `/usr/bin/python3 -c 'import os; os.utime("shelf/ab/one", (1, 1))' 2>/dev/null`, "", "/p/.env env utimes"},
		{"made", `mkdir shelf/cd 2>/dev/null; mkdir shelf/ab/x 2>/dev/null`, "", "DIR/cd shelf create, DIR/ab/x shelf create"},
		{"removed", `rm -f shelf/ab/one 2>/dev/null; cat shelf/ab/one`, "stand-in 1\n", "DIR/ab/one shelf unlink, /p/.env env withheld"},
		{"moved", `mv shelf/ab/one shelf/ab/x 2>/dev/null`, "", "DIR/ab shelf rename"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w.t = t
			r := w.run(w.dir, "bash", "-c", tt.sh)
			var got []string
			for _, e := range w.events() {
				got = append(got, strings.Replace(e.Path, w.dir+"/shelf", "DIR", 1)+" "+e.Rule+" "+e.Op)
				if e.Peer.PID <= 1 || e.Peer.Start == 0 || e.Peer.Exe == "" || len(e.Peer.Argv) == 0 {
					t.Errorf("the caller is not named: %+v", e)
				}
			}
			if all := strings.Join(got, ", "); all != tt.events {
				t.Errorf("events %q, want %q", all, tt.events)
			}
			if tt.out != "*" && r.Out != tt.out || strings.Contains(r.Out, canary) {
				t.Errorf("printed %q, want %q", r.Out, tt.out)
			}
		})
	}
}

// TestShelfHoldsThousands, in the order in which they came, and keeps what stands.
func TestShelfHoldsThousands(t *testing.T) {
	w := newWorld(t)
	var files []Shelved
	for i := range 5000 {
		files = append(files, Shelved{Dir: fmt.Sprintf("%02x", i%256), Name: fmt.Sprintf("file%038d", i), Content: []byte(fmt.Sprintln(i)), Node: 9, Path: "/p", Rule: "r"})
	}
	_, n := w.shelf(files[:3000]...)
	files[0].Content = []byte("another\n")
	if err := w.srv.Shelve(n.ID, files); err != nil {
		t.Fatal(err)
	}
	if r := w.run(w.dir, "bash", "-c", `find shelf -type f | wc -l; cat shelf/*/* | sort -n | uniq | md5sum; seq 0 4999 | md5sum; ls -d shelf/*/* | cut -d/ -f3 | sort -u | wc -l`); r.Out != "5000\n"+strings.Repeat(strings.Fields(w.run(w.dir, "bash", "-c", "seq 0 4999 | md5sum").Out)[0]+"  -\n", 2)+"5000\n" {
		t.Errorf("%s", r.Out)
	}
	if got := ops(w.events()); got != "withheld" {
		t.Errorf("events %q", got)
	}
	write(t, w.dir+"/file", "", 0o644)
	file := w.cover(w.dir+"/file", "r")
	if w.srv.Shelve(file.ID, files) == nil || w.srv.Shelve(4711, files) == nil {
		t.Error("a shelf where there is no directory node")
	}
}

// TestEveryOtherOpcodeOnAShelf is refused and reported.
func TestEveryOtherOpcodeOnAShelf(t *testing.T) {
	free := map[uint32]bool{opLseek: true, opIoctl: true, opPoll: true}
	for _, at := range []struct {
		node uint64
		with unix.Errno
		more []uint32 // that are served there
	}{
		{2, unix.EPERM, []uint32{opLookup, opOpendir, opReaddir}},
		{shelfBase + 1, unix.EPERM, []uint32{opLookup, opOpendir, opReaddir}},
		{shelfBase + 2, unix.EACCES, []uint32{opRead}},
	} {
		for op := range uint32(80) {
			for _, body := range [][]byte{nil, make([]byte, 24), bytes.Repeat([]byte{0xff}, 128)} {
				d, fuse, ctl := fakeKernel(t)
				d.nodes[2].Attr = Attr{Mode: unix.S_IFDIR | 0o555, Dir: true}
				if err := d.shelve(1, shelved); err != nil {
					t.Fatal(err)
				}
				r, _ := parseRequest(rawRequest(op, at.node, body))
				if err := d.serve(r); err != nil {
					t.Fatalf("opcode %d: %v", op, err)
				}
				quiet := silent[op] || free[op]
				for _, more := range at.more {
					quiet = quiet || op == more
				}
				buf := make([]byte, 8192)
				n, _ := unix.Read(ctl, buf)
				if reported := n > 0; reported == quiet {
					t.Errorf("opcode %d on node %d: reported %v", op, at.node, reported)
				}
				n, _ = unix.Read(fuse, buf)
				opened := op == opOpen && at.node == shelfBase+2 // or refused, as its flags say
				if !quiet && !opened && (n != outHeaderLen || unix.Errno(-int32(order.Uint32(buf[4:]))) != at.with) {
					t.Errorf("opcode %d on node %d: answer % x", op, at.node, buf[:max(n, 0)])
				}
			}
		}
	}
}
