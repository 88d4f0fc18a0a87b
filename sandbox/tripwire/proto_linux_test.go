package tripwire

import (
	"bytes"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/countersign/countersign"
)

func rawRequest(op uint32, node uint64, body []byte) []byte {
	b := make([]byte, inHeaderLen, inHeaderLen+len(body))
	order.PutUint32(b, uint32(inHeaderLen+len(body)))
	order.PutUint32(b[4:], op)
	order.PutUint64(b[8:], 42)
	order.PutUint64(b[16:], node)
	order.PutUint32(b[32:], uint32(os.Getpid()))
	return append(b, body...)
}

// fakeKernel is a daemon whose two descriptors are socket pairs.
func fakeKernel(t *testing.T) (d *daemon, fuse, ctl int) {
	t.Helper()
	f, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	c, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, fd := range []int{f[0], f[1], c[0], c[1]} {
			unix.Close(fd)
		}
	})
	d = &daemon{fuse: f[0], ctl: c[0], now: time.Now, nodes: map[uint64]*entry{}}
	d.nodes[2] = &entry{Node: Node{ID: 1, Path: "/p/.env", Rule: "r", Attr: Attr{Mode: unix.S_IFREG | 0o600}}}
	return d, f[1], c[1]
}

// silent are the opcodes that give nothing away and are no attempt.
var silent = map[uint32]bool{
	opForget: true, opBatchForget: true, opInterrupt: true, opGetattr: true, opStatfs: true, opGetxattr: true, opListxattr: true,
	opDestroy: true, opAccess: true, opStatx: true, opBmap: true, opSyncfs: true, opRelease: true, opReleasedir: true, opFlush: true,
}

// Every opcode there is, and many that may come, is refused and reported once,
// unless it stands in the list above; the report comes before the answer.
func TestEveryOtherOpcodeIsRefusedAndReported(t *testing.T) {
	for op := uint32(0); op < 80; op++ {
		for _, body := range [][]byte{nil, make([]byte, 8), bytes.Repeat([]byte{0xff}, 128)} {
			d, fuse, ctl := fakeKernel(t)
			r, ok := parseRequest(rawRequest(op, 2, body))
			if !ok {
				t.Fatal("a whole request was not understood")
			}
			if err := d.serve(r); err != nil {
				t.Fatalf("opcode %d: %v", op, err)
			}
			buf := make([]byte, 4096)
			n, _ := unix.Read(ctl, buf)
			if reported := n > 0; reported == silent[op] {
				t.Errorf("opcode %d: reported %v", op, reported)
			}
			n, _ = unix.Read(fuse, buf)
			if silent[op] {
				continue
			}
			if n != outHeaderLen || unix.Errno(-int32(order.Uint32(buf[4:]))) != unix.EACCES || order.Uint64(buf[8:]) != 42 {
				t.Errorf("opcode %d: answer % x", op, buf[:max(n, 0)])
			}
		}
	}
}

// If the session cannot be told, there is no answer: the server ends.
func TestNoReportNoAnswer(t *testing.T) {
	d, fuse, ctl := fakeKernel(t)
	unix.Close(ctl)
	r, _ := parseRequest(rawRequest(opOpen, 2, make([]byte, 8)))
	if err := d.serve(r); err == nil {
		t.Error("served without a session")
	}
	if n, _ := unix.Read(fuse, make([]byte, 64)); n > 0 {
		t.Error("answered without a report")
	}
	var err error
	if ctl, err = unix.Dup(fuse); err != nil { // so that the cleanup closes no stranger
		t.Fatal(err)
	}
}

func TestForeignCallerIsReportedWithoutAName(t *testing.T) {
	d, _, ctl := fakeKernel(t)
	raw := rawRequest(opOpen, 2, make([]byte, 8))
	order.PutUint32(raw[24:], 1234)
	order.PutUint32(raw[32:], 0)
	r, _ := parseRequest(raw)
	if err := d.serve(r); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 4096)
	n, err := unix.Read(ctl, buf)
	if err != nil {
		t.Fatal(err)
	}
	e, err := decodeEvent(buf[1:n])
	if err != nil || e.Peer.PID != 0 || e.Peer.UID != 1234 || e.Peer.Exe != "" || e.Path != "/p/.env" {
		t.Errorf("%v %+v", err, e)
	}
}

func TestOldAndNewKernelsAreGreeted(t *testing.T) {
	for _, tt := range []struct {
		major, minor uint32
		ok           bool
	}{{7, 45, true}, {7, 31, true}, {7, 30, false}, {6, 99, false}, {8, 0, true}} {
		body := make([]byte, 16)
		order.PutUint32(body, tt.major)
		order.PutUint32(body[4:], tt.minor)
		order.PutUint32(body[12:], 0xffffffff)
		out, ok := initReply(request{body: body})
		if ok != tt.ok {
			t.Errorf("%d.%d: %v", tt.major, tt.minor, ok)
		}
		if ok && tt.major == 7 && order.Uint32(out[12:]) != initAtomicTrunc|initParallelDirop {
			t.Errorf("negotiated %x", order.Uint32(out[12:]))
		}
	}
}

func FuzzServe(f *testing.F) {
	f.Add(rawRequest(opOpen, 2, make([]byte, 8)))
	f.Add(rawRequest(opLookup, 1, []byte("1\x00")))
	f.Add(rawRequest(opCreate, 2, []byte("x")))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, ok := parseRequest(b)
		if !ok {
			return
		}
		d, _, _ := fakeKernel(t)
		if err := d.serve(r); err != nil && len(b) < 4096 {
			t.Error(err)
		}
	})
}

func TestWhoIsRead(t *testing.T) {
	p := resolve(unix.Gettid(), 77)
	self, _ := os.Executable()
	if p.PID != os.Getpid() || p.UID != os.Getuid() || p.Exe != self || strings.Join(p.Argv, " ") != strings.Join(os.Args, " ") || p.Start == 0 {
		t.Errorf("%+v", p)
	}
	gone := resolve(1<<22+1, 77)
	if gone.PID != 1<<22+1 || gone.UID != 77 || gone.Exe != "" || gone.Argv != nil {
		t.Errorf("%+v", gone)
	}
}

func TestStartTime(t *testing.T) {
	for _, tt := range []struct {
		stat string
		want uint64
	}{
		{"1 (a) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4711 20", 4711},
		{"1 (a) R (b) ) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4711 20", 4711},
		{"1 (a) S 1 2", 0},
		{"", 0},
	} {
		if got := startTime([]byte(tt.stat)); got != tt.want {
			t.Errorf("%q: %d, want %d", tt.stat, got, tt.want)
		}
	}
}

func TestLongCommandLinesAreCut(t *testing.T) {
	long := splitArgv(bytes.Repeat([]byte{'a'}, maxArgv+1))
	if len(long) != 2 || len(long[0]) != maxArgv || long[1] != "…" {
		t.Errorf("%d elements", len(long))
	}
	if got := splitArgv([]byte("a\x00\x00b\x00")); len(got) != 3 || got[1] != "" {
		t.Errorf("%q", got)
	}
	many := splitArgv(bytes.Repeat([]byte{'a', 0}, maxArgv/2))
	if n := len(encodeEvent(Event{Path: strings.Repeat("p", 8192), Peer: countersign.Peer{Argv: many}})); n > maxMessage {
		t.Errorf("an event of %d bytes does not fit a message of %d", n, maxMessage)
	}
}
