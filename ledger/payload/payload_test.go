package payload

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	mrand "math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	countersign "github.com/countersign/countersign"
	"github.com/countersign/countersign/ledger/disk"
	"github.com/countersign/countersign/ledger/powercut"
)

// promise is a payload that was said to be durable.
type promise struct {
	ref   countersign.Payload
	plain string
}

func options(fs disk.FS, epoch uint64) Options {
	return Options{
		FS: fs, Rand: rand.Reader, Epoch: epoch, PackSize: 4 << 10, Fail: func(err error) error { return err },
		Now: func() time.Time { return time.Date(2026, 11, 28, 0, 0, 0, 0, time.UTC) },
	}
}

func plain(i int) string { return fmt.Sprint("payload ", i, strings.Repeat("x", i*97%900)) }

// play puts n payloads, some of them two at once, in two months, and calls after
// each promise.
func play(fs *powercut.FS, epoch uint64, got *[]promise, n int, after func()) error {
	o := options(fs, epoch)
	month := time.Date(2026, 11, 28, 0, 0, 0, 0, time.UTC)
	o.Now = func() time.Time { return month }
	s, err := New(o)
	if err != nil {
		return err
	}
	after()
	for i := range n {
		if i == n/2 {
			month = month.AddDate(0, 1, 0)
		}
		ps := []countersign.Payload{{Role: "prompt", Plain: []byte(plain(i))}}
		if i%4 == 3 {
			ps = append(ps, countersign.Payload{Role: "said", Plain: []byte(plain(i + 1))})
		}
		refs, err := s.Put(ps...)
		if err != nil {
			return err
		}
		for j, ref := range refs {
			*got = append(*got, promise{ref, string(ps[j].Plain)})
		}
		after()
	}
	err = s.Close()
	if err == nil {
		after()
	}
	return err
}

// check opens all that was promised, on what a crash has left, before and after
// the next start has looked at it.
func check(t *testing.T, fs *powercut.FS, got []promise) error {
	t.Helper()
	if err := opens(t, fs, got); err != nil {
		return err
	}
	s, err := New(options(fs, 99))
	if err != nil {
		return fmt.Errorf("the next start: %w", err)
	}
	refs, err := s.Put(countersign.Payload{Plain: []byte("goes on")})
	if err != nil {
		return err
	}
	return opens(t, fs, append(got[:len(got):len(got)], promise{refs[0], "goes on"}))
}

func opens(t *testing.T, fs *powercut.FS, got []promise) error {
	t.Helper()
	dir := memory(t)
	defer os.RemoveAll(dir)
	if err := fs.Dump(dir); err != nil {
		t.Fatal(err)
	}
	for _, p := range got {
		if b, err := Open(dir, p.ref); err != nil || string(b) != p.plain {
			return fmt.Errorf("%q at %s is lost: %w", p.plain[:9], p.ref.At, err)
		}
	}
	return nil
}

func TestPowerCutLosesNothingThatWasPromised(t *testing.T) {
	fs, got := powercut.New(), []promise{}
	rng := mrand.New(mrand.NewPCG(3, 4))
	for epoch := range uint64(2) {
		if err := play(fs, epoch+1, &got, 12, func() {
			for name, cut := range map[string]*powercut.FS{"nothing": fs.Cut(nil), "some": fs.Cut(rng), "killed": fs.Kill()} {
				if err := check(t, cut, got); err != nil {
					t.Fatalf("after %d payloads, %s of the unflushed: %v", len(got), name, err)
				}
			}
		}); err != nil {
			t.Fatal(err)
		}
	}
}

// Every flush is needed: without it, some power cut takes what was promised.
func TestEveryFlushIsNeeded(t *testing.T) {
	for _, op := range []string{"flush", "syncdir"} {
		for k := 1; ; k++ {
			fs, got, hit, broken := powercut.New(), []promise{}, "", error(nil)
			fs.Fail = func(o, name string, n int) error {
				if o == op && n == k {
					hit = name
					return powercut.ErrForget
				}
				return nil
			}
			if err := play(fs, 1, &got, 12, func() {
				if hit != "" && broken == nil {
					broken = opens(t, fs.Cut(nil), got)
				}
			}); err != nil {
				t.Fatal(err)
			}
			if hit == "" {
				break
			}
			if broken == nil {
				t.Errorf("%s %d (%s) can be left out and nothing notices", op, k, hit)
			}
		}
	}
}

// Whatever fails and whenever: what was promised is there, nothing is promised
// from then on, and nothing is written any more.
func TestEveryFaultEndsIt(t *testing.T) {
	for _, fault := range []syscall.Errno{syscall.EIO, syscall.ENOSPC} {
		for _, op := range []string{"write", "flush", "create", "rename", "syncdir", "truncate"} {
			for k := 1; ; k++ {
				fs, got, hit, after := powercut.New(), []promise{}, false, 0
				fs.Fail = func(o, name string, n int) error {
					if hit && (o == "write" || o == "flush") {
						after++
					}
					if o == op && n == k {
						hit = true
						return fault
					}
					return nil
				}
				err := play(fs, 1, &got, 12, func() {})
				if !hit {
					break
				}
				// On a full disk less room is filled ahead.
				if err == nil && (fault != syscall.ENOSPC || op != "write") {
					t.Errorf("%v at %s %d: nobody was told", fault, op, k)
				}
				if err != nil && !errors.Is(err, fault) || after > 0 && fault == syscall.EIO {
					t.Errorf("%v at %s %d: %v, and %d writes and flushes after it", fault, op, k, err, after)
				}
				fs.Fail = nil
				for name, cut := range map[string]*powercut.FS{"cut": fs.Cut(nil), "killed": fs.Kill()} {
					if err := check(t, cut, got); err != nil {
						t.Errorf("%v at %s %d, %s: %v", fault, op, k, name, err)
					}
				}
			}
		}
	}
}

// A batch torn at any byte costs nothing that was promised, the zeros behind it
// are given back, and the next start goes on beside it.
func TestTornBatchAtEveryByte(t *testing.T) {
	fs, got := powercut.New(), []promise{}
	s, err := New(options(fs, 1))
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		refs, err := s.Put(countersign.Payload{Plain: []byte(plain(i))})
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, promise{refs[0], plain(i)})
	}
	name, _, _ := strings.Cut(got[2].ref.At, ":")
	from, to := place(t, got[2].ref)
	for at := from; at < to; at++ {
		for _, fill := range []byte{0, 0xff} {
			torn := fs.Kill()
			torn.Change("blobs/"+name, func(b []byte) []byte {
				for i := at; i < to; i++ {
					b[i] = fill
				}
				return b
			})
			if err := check(t, torn, got[:2]); err != nil {
				t.Fatalf("from byte %d, %#x: %v", at, fill, err)
			}
			b, err := torn.ReadFile("blobs/" + name)
			if err != nil || len(b) > to || len(b) < from {
				t.Fatalf("from byte %d, %#x: %d bytes are left of %d to %d (%v)", at, fill, len(b), from, to, err)
			}
		}
	}
}

// memory is a directory in memory where there is one: what is tested here is
// content, not the disk.
func memory(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "payload-test")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// place returns the bytes of a frame in its pack.
func place(t *testing.T, p countersign.Payload) (from, to int) {
	t.Helper()
	_, where, _ := strings.Cut(p.At, ":")
	from, err := strconv.Atoi(where)
	if err != nil {
		t.Fatal(err)
	}
	return from, from + frameHead + headSize + saltSize + 16 + int(p.Len)
}

// gated is a disk whose flushes wait to be let go.
type gated struct {
	disk.FS
	gate    chan struct{}
	flushes *atomic.Int64
}

type gatedFile struct {
	disk.File
	gated
}

func (g gated) Create(name string) (disk.File, error) {
	f, err := g.FS.Create(name)
	if !strings.HasSuffix(name, ".pack") {
		return f, err
	}
	return gatedFile{f, g}, err
}

func (f gatedFile) Flush() error {
	f.flushes.Add(1)
	<-f.gate
	return f.File.Flush()
}

func TestWhoWaitsTogetherIsFlushedTogether(t *testing.T) {
	dir := memory(t)
	for _, d := range []string{"blobs", "key"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	o := options(gated{disk.Dir(dir), make(chan struct{}), &atomic.Int64{}}, 1)
	o.PackSize = 0
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	g := o.FS.(gated)
	var wg sync.WaitGroup
	put := func(i int) {
		wg.Go(func() {
			refs, err := s.Put(countersign.Payload{Plain: []byte(plain(i))})
			if err != nil {
				t.Error(err)
				return
			}
			if b, err := Open(dir, refs[0]); err != nil || string(b) != plain(i) {
				t.Errorf("%d: %v", i, err)
			}
		})
	}
	put(0)
	for g.flushes.Load() == 0 {
		runtime.Gosched()
	}
	const others = 50
	end := int64(len(packMagic))
	for i := range others + 1 {
		if i > 0 {
			put(i)
		}
		end += int64(frameHead + headSize + saltSize + 16 + len(plain(i)))
	}
	for written := int64(0); written < end; runtime.Gosched() {
		s.packs.mu.Lock()
		written = s.packs.end
		s.packs.mu.Unlock()
	}
	close(g.gate)
	wg.Wait()
	if n := g.flushes.Load(); n != 2 {
		t.Errorf("%d flushes, want 2", n)
	}
}

// real is a store on a real directory with three payloads.
func real(t testing.TB) (dir string, got []promise) {
	t.Helper()
	fs := powercut.New()
	s, err := New(options(fs, 1))
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		refs, err := s.Put(countersign.Payload{Role: "prompt", Media: "text/plain", Plain: []byte(plain(i))})
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, promise{refs[0], plain(i)})
	}
	dir = memory(t)
	if err := errors.Join(s.Close(), fs.Dump(dir)); err != nil {
		t.Fatal(err)
	}
	return dir, got
}

// One blob is shredded by its own key: the others, and everything that was
// signed, stay as they are.
func TestOneBlobCanBeDestroyed(t *testing.T) {
	dir, got := real(t)
	name, _, _ := strings.Cut(got[1].ref.At, ":")
	from, _ := place(t, got[1].ref)
	f, err := os.OpenFile(filepath.Join(dir, "blobs", name), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt(make([]byte, nonce+wrapped), int64(from+frameHead+len(magic))); err != nil {
		t.Fatal(err)
	}
	_ = f.Close()
	if _, err := Open(dir, got[1].ref); err == nil || !strings.Contains(err.Error(), "destroyed") {
		t.Errorf("the destroyed one: %v", err)
	}
	for _, i := range []int{0, 2} {
		if b, err := Open(dir, got[i].ref); err != nil || string(b) != got[i].plain {
			t.Errorf("its neighbour %d: %v", i, err)
		}
	}
	if err := os.Remove(filepath.Join(dir, "key", "kek-month-2026-11")); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir, got[0].ref); err == nil {
		t.Error("a blob is readable without its month's key")
	}
}

// Blobs of the time before packs have a file of their own, as large ones have.
func TestBlobsInFilesOfTheirOwn(t *testing.T) {
	dir, got := real(t)
	p := got[1].ref
	name, _, _ := strings.Cut(p.At, ":")
	pack, err := os.ReadFile(filepath.Join(dir, "blobs", name))
	if err != nil {
		t.Fatal(err)
	}
	from, to := place(t, p)
	if err := os.WriteFile(filepath.Join(dir, "blobs", strings.TrimPrefix(p.CT, "sha256:")), pack[from+frameHead:to], 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, "blobs", name)); err != nil {
		t.Fatal(err)
	}
	p.At = ""
	if b, err := Open(dir, p); err != nil || string(b) != got[1].plain {
		t.Errorf("%q, %v", b, err)
	}
}

// Whatever stands in a pack and in a reference, what is opened is what the record
// commits to, or an error.
func TestAnyChangedByteOfAPackIsFound(t *testing.T) {
	dir, got := real(t)
	p := got[1]
	name, _, _ := strings.Cut(p.ref.At, ":")
	path := filepath.Join(dir, "blobs", name)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	from, to := place(t, p.ref)
	for i := from; i < to; i++ {
		b := bytes.Clone(whole)
		b[i] ^= 1 << (i % 8)
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(dir, p.ref); countersign.CodeOf(err) != countersign.EVerify {
			t.Fatalf("byte %d: %v", i, err)
		}
	}
	newer := append([]byte("countersign pack 2\n"), whole[len(packMagic):]...)
	if err := os.WriteFile(path, newer, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir, p.ref); err == nil || !strings.Contains(err.Error(), "version") {
		t.Errorf("a newer version: %v", err)
	}
	for _, at := range []string{"../" + p.ref.At, name, name + ":-1", name + ":x", name + ":0", name + ":999999", "key:0", ":"} {
		bad := p.ref
		bad.At = at
		if _, err := Open(dir, bad); countersign.CodeOf(err) != countersign.EVerify {
			t.Errorf("%q: %v", at, err)
		}
	}
}

func FuzzPack(f *testing.F) {
	dir, got := real(f)
	name, _, _ := strings.Cut(got[0].ref.At, ":")
	path := filepath.Join(dir, "blobs", name)
	whole, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole, 19)
	f.Add(whole[:200], 0)
	f.Fuzz(func(t *testing.T, b []byte, at int) {
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		p := got[0].ref
		p.At = fmt.Sprint(name, ":", at)
		if out, err := Open(dir, p); err == nil && string(out) != got[0].plain {
			t.Errorf("%q was opened", out)
		}
		fs := powercut.New()
		if g, err := fs.Create("blobs/" + name); err == nil {
			_, _ = g.WriteAt(b, 0)
		}
		if _, err := Copied(fs)(1, 1, int64(at)); err != nil {
			t.Error(err)
		}
		if err := trimLast(fs); err != nil {
			t.Error(err)
		}
		if left, _ := fs.ReadFile("blobs/" + name); !bytes.HasPrefix(b, left) || len(bytes.Trim(b[len(left):], "\x00")) > 0 {
			t.Error("more than zeros was cut")
		}
	})
}

// A power cut may take the beginning of a pack and leave a blob behind it: that one
// cannot be read, so it is lost.
func TestAPackWithoutItsBeginningIsLost(t *testing.T) {
	dir := t.TempDir()
	fs := disk.Dir(dir)
	for _, d := range []string{"blobs", "key"} {
		if err := fs.Mkdir(d); err != nil {
			t.Fatal(err)
		}
	}
	o := options(fs, 1)
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	refs, err := s.Write(countersign.Payload{Role: "prompt", Plain: []byte(plain(1))}, countersign.Payload{Role: "prompt", Plain: []byte(plain(2))})
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := json.Marshal(countersign.Record{Type: "model.request", Payloads: refs[1:]})
	if err != nil {
		t.Fatal(err)
	}
	if lost, err := Lost(fs)(leaf); lost || err != nil {
		t.Fatalf("whole: %v, %v", lost, err)
	}
	pack, _, _ := placeOf(refs[1])
	f, err := os.OpenFile(filepath.Join(dir, "blobs", pack), os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt(make([]byte, 64), 0); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir, refs[1]); err == nil {
		t.Error("it can be read without the pack's beginning")
	}
	if lost, err := Lost(fs)(leaf); !lost || err != nil {
		t.Errorf("without the beginning: %v, %v", lost, err)
	}
}

// A power cut may take the part of a blob that begins with its key, and leave what is
// in front: that is no destroyed key.
func TestZerosBeyondTheKeyAreNoDestroyedKey(t *testing.T) {
	for size, wantLost := range map[int]bool{nonce + wrapped: false, nonce + wrapped + nonce: true, 400: true} {
		dir := t.TempDir()
		fs := disk.Dir(dir)
		for _, d := range []string{"blobs", "key"} {
			if err := fs.Mkdir(d); err != nil {
				t.Fatal(err)
			}
		}
		s, err := New(options(fs, 1))
		if err != nil {
			t.Fatal(err)
		}
		refs, err := s.Write(countersign.Payload{Role: "prompt", Plain: []byte(strings.Repeat("x", 500))})
		if err != nil {
			t.Fatal(err)
		}
		pack, at, _ := placeOf(refs[0])
		f, err := os.OpenFile(filepath.Join(dir, "blobs", pack), os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if _, err := f.WriteAt(make([]byte, size), at+frameHead+int64(len(magic))); err != nil {
			t.Fatal(err)
		}
		leaf, err := json.Marshal(countersign.Record{Type: "model.request", Payloads: refs})
		if err != nil {
			t.Fatal(err)
		}
		if lost, err := Lost(fs)(leaf); lost != wantLost || err != nil {
			t.Errorf("%d zeros: lost %v, %v", size, lost, err)
		}
		if _, err := Open(dir, refs[0]); err == nil || errors.Is(err, errDestroyed) == wantLost {
			t.Errorf("%d zeros: %v", size, err)
		}
	}
}
