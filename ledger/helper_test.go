package ledger_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	countersign "github.com/countersign/countersign"
	"github.com/countersign/countersign/ledger"
	"github.com/countersign/countersign/ledger/book"
	"github.com/countersign/countersign/ledger/disk"
	"github.com/countersign/countersign/ledger/segment"
)

// TestMain makes this binary the ledger process too.
func TestMain(m *testing.M) {
	if dir := os.Getenv("LEDGER_SERVE"); dir != "" {
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
		defer stop()
		err := ledger.Serve(ctx, dirs(dir), ledger.ServeOptions{Idle: 50 * time.Millisecond})
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	if socket := os.Getenv("LEDGER_KNOCK"); socket != "" {
		knock(socket)
		os.Exit(0)
	}
	if dir := os.Getenv("LEDGER_CHATTER"); dir != "" {
		chatter(dir)
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// chatter is a client that appends until it is killed. A line for each record
// follows only when Append has returned.
func chatter(dir string) {
	c, err := ledger.Dial(context.Background(), dirs(dir), nil)
	if err != nil {
		fmt.Println("error", err)
		return
	}
	for i := 0; ; i++ {
		r := rec(i)
		r.ID = fmt.Sprintf("%08d-%08d", os.Getpid(), i)
		if _, err := c.Append(context.Background(), r, i%50 == 49); err != nil {
			return
		}
		fmt.Println(r.ID)
	}
}

// knock says what a ledger process answers to this user.
func knock(socket string) {
	c, err := net.Dial("unix", socket)
	if err != nil {
		fmt.Print(err)
		return
	}
	_, _ = c.Write([]byte{0, 0, 0, 5, 'h', 0, 1, 0, 1})
	n, _ := c.Read(make([]byte, 100))
	fmt.Printf("connected, %d bytes", n)
}

func dirs(dir string) ledger.Dirs {
	return ledger.Dirs{State: filepath.Join(dir, "ledger"), Socket: filepath.Join(dir, "s")}
}

// proc is a ledger process under test.
type proc struct {
	cmd  *exec.Cmd
	out  bytes.Buffer
	done chan struct{}
	err  error
}

// start runs the ledger process, below wrap if given.
func start(t *testing.T, dir string, wrap ...string) *proc {
	t.Helper()
	args := append(wrap, os.Args[0])
	p := &proc{cmd: exec.Command(args[0], args[1:]...), done: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), "LEDGER_SERVE="+dir)
	p.cmd.Stderr = &p.out
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { p.err = p.cmd.Wait(); close(p.done) }()
	t.Cleanup(func() {
		if p.running() {
			_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL) // a killed strace lets its child go on
		}
		<-p.done
	})
	return p
}

func (p *proc) running() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

func (p *proc) wait(t *testing.T) error {
	t.Helper()
	select {
	case <-p.done:
		return p.err
	case <-time.After(10 * time.Second):
		t.Fatal("the ledger process does not end")
		return nil
	}
}

// dial starts the process and connects.
func dial(t *testing.T, dir string, wrap ...string) (*ledger.Client, *proc) {
	t.Helper()
	var p *proc
	c, err := ledger.Dial(t.Context(), dirs(dir), func(context.Context) error {
		if p != nil && p.running() {
			return nil // slow to start on a busy machine: p must be the one that serves
		}
		p = start(t, dir, wrap...)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return c, p
}

func rec(i int) countersign.Record {
	return countersign.Record{Type: "exec.decided", Session: "s1", Action: &countersign.ActionRecord{
		Kind: countersign.KindExec, Summary: fmt.Sprintf("step %d && echo <x>", i), Argv: []string{"sh", "-c", strings.Repeat("y", i%50)},
	}}
}

// spooled appends record i by way of the spool.
func spooled(t testing.TB, c *ledger.Client, i int) {
	t.Helper()
	r := rec(i)
	r.ID = fmt.Sprintf("0190a5c0-0000-7000-8000-%012d", i)
	got, err := c.Append(t.Context(), r, false)
	if err != nil || got.ID != r.ID || got.Seq != 0 {
		t.Fatalf("%+v, %v", got, err)
	}
}

// open opens a book on a real directory, with segments of size bytes.
func open(t testing.TB, dir string, size int64) *book.Book {
	t.Helper()
	begun := time.Now()
	b, err := book.Open(book.Options{
		FS: disk.Dir(dir), Now: time.Now, Mono: func() time.Duration { return time.Since(begun) }, Rand: rand.Reader,
		SegmentSize: size, Lag: time.Hour, Node: "n1",
	})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// build makes a ledger of three starts with a rotation in each; the last one is
// left as a kill leaves it if live is set.
func build(t testing.TB, live bool) string { return buildOf(t, live, 10, 11<<10, 40) }

func buildOf(t testing.TB, live bool, records int, size int64, pad int) string {
	t.Helper()
	dir := filepath.Join(fast(t), "ledger")
	for n := range 3 {
		b := open(t, dir, size)
		for i := range records {
			body := fmt.Sprintf(`"type":"test","session":"s","detail":{"n":%d,"pad":%q}}`, i, strings.Repeat("p", i*pad))
			if _, err := b.Append("", []byte(body), i%2 == 1); err != nil {
				t.Fatal(err)
			}
		}
		if live && n == 2 {
			dir = clone(t, dir)
		}
		if err := b.Close("test"); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// fast is a directory in memory where there is one: what is tested with it is
// content, not durability.
func fast(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "ledger-test")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func clone(t testing.TB, dir string) string {
	t.Helper()
	to := filepath.Join(fast(t), "ledger")
	if err := os.CopyFS(to, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	return to
}

func segs(t testing.TB, dir string) []string {
	t.Helper()
	m, err := filepath.Glob(filepath.Join(dir, "segments", "*.led"))
	if err != nil || len(m) == 0 {
		t.Fatal("no segments", err)
	}
	return m
}

func read(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func write(t testing.TB, name string, b []byte) {
	t.Helper()
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// frames takes a segment apart; it follows lengths only.
func frames(t testing.TB, b []byte) (header []byte, fs []segment.Frame, rest []byte) {
	t.Helper()
	_, n, err := segment.ParseHeader(b)
	if err != nil {
		t.Fatal(err)
	}
	header, b = b[:n], b[n:]
	for {
		f, n, err := segment.ParseFrame(b)
		if err != nil {
			return header, fs, b
		}
		f.Data = bytes.Clone(f.Data)
		fs = append(fs, f)
		b = b[n:]
	}
}

func join(header []byte, fs []segment.Frame, rest []byte) []byte {
	b := bytes.Clone(header)
	for _, f := range fs {
		b = segment.AppendFrame(b, f)
	}
	return append(b, rest...)
}

// rechain rewrites a whole ledger after edit has changed its leaves' bodies (nil
// drops one), with all hashes made anew; sign makes the checkpoints, or leaves
// the old ones if nil.
func rechain(t testing.TB, dir string, sign note.Signer, edit func(seq uint64, body []byte) []byte) {
	t.Helper()
	var prev tlog.Hash
	var tree segment.Tree
	seq := uint64(0)
	for _, name := range segs(t, dir) {
		h, fs, rest := frames(t, read(t, name))
		old, _, _ := segment.ParseHeader(h)
		out := segment.AppendHeader(nil, segment.Header{Epoch: old.Epoch, First: seq + 1, Prev: prev, Tree: tree.Clone()})
		first := seq + 1
		var after tlog.Hash
		for _, f := range fs {
			if !f.Note {
				l, n, err := segment.ParseLeaf(f.Data)
				if err != nil {
					t.Fatal(err)
				}
				body := edit(f.Seq, f.Data[n:])
				if body == nil {
					continue
				}
				seq++
				l.Seq, l.Prev = seq, prev
				f.Data = segment.AppendLeaf(nil, l, body)
				f.Seq, f.Prev = seq, prev
				prev = tlog.RecordHash(f.Data)
				tree.Append(prev)
				out = segment.AppendFrame(out, f)
				continue
			}
			f.Seq, f.Prev = seq, prev
			if sign != nil {
				c := segment.Checkpoint{Origin: sign.Name(), Size: seq, Root: tree.Root(), After: after}
				f.Data, _ = note.Sign(&note.Note{Text: c.Text()}, sign)
			}
			after = sha(f.Data)
			out = segment.AppendFrame(out, f)
			if f.Seal && sign != nil {
				write(t, filepath.Join(dir, "checkpoints", fmt.Sprintf("%016d", seq)), f.Data)
			}
		}
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, "segments", segment.Name(old.Epoch, first)), append(out, rest...))
	}
}
