//go:build amd64 || arm64

package seccomp

import (
	"bytes"
	"math/rand"
	"os"
	"runtime"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// TestGiven reads what was laid into memory in every awkward way: across pages, at
// the last bytes of a mapping, long, empty, not there.
func TestGiven(t *testing.T) {
	rnd := rand.New(rand.NewSource(1))
	const pages = 64
	mem, err := unix.Mmap(-1, 0, (pages+1)*pageSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Mprotect(mem[pages*pageSize:], unix.PROT_NONE); err != nil {
		t.Fatal(err)
	}
	base := uint64(uintptr(unsafe.Pointer(&mem[0])))
	m := Memory{TID: os.Getpid()}
	var buf []byte
	for range 500 {
		end := pages * pageSize // filled from the end of the mapping on
		put := func(b []byte) uint64 {
			end -= len(b)
			copy(mem[end:], b)
			return base + uint64(end)
		}
		str := func() string {
			return strings.Repeat("x", []int{0, 1, 7, rnd.Intn(300), rnd.Intn(5000)}[rnd.Intn(5)])
		}
		vector := func() (addr uint64, want string, n int) {
			if rnd.Intn(8) == 0 {
				return 0, "", 0
			}
			n = rnd.Intn(6) * rnd.Intn(20)
			ptrs := make([]byte, 0, 8*n+8)
			for range n {
				s := str()
				want += s + "\x00"
				p := put([]byte(s + "\x00"))
				ptrs = append(ptrs, (*[8]byte)(unsafe.Pointer(&p))[:]...)
			}
			end -= rnd.Intn(2) * rnd.Intn(8) // not aligned
			return put(append(ptrs, make([]byte, 8)...)), want, n
		}
		name := str()
		nameAt := put([]byte(name + "\x00"))
		argv, args, argc := vector()
		envp, env, _ := vector()
		if end < 0 {
			t.Fatal("the mapping is too small")
		}
		g, b, errno := m.Given(buf, nameAt, argv, envp)
		buf = b
		long := len(name) >= unix.PathMax && (len(g.Name) >= unix.PathMax || g.NameErrno == unix.E2BIG)
		if errno != 0 || !long && (g.NameErrno != 0 || string(g.Name) != name) || string(g.Args) != args || string(g.Env) != env || g.Argc != argc {
			t.Fatalf("%v %v: name %d of %d bytes, args %d of %d, env %d of %d, %d strings of %d",
				errno, g.NameErrno, len(g.Name), len(name), len(g.Args), len(args), len(g.Env), len(env), g.Argc, argc)
		}
	}
	hole := base + pages*pageSize
	for _, bad := range [][3]uint64{{base, hole, 0}, {base, 0, hole}, {base, 1, 0}} {
		if _, _, errno := m.Given(nil, bad[0], bad[1], bad[2]); errno != unix.EFAULT {
			t.Errorf("%x: %v", bad, errno)
		}
	}
	if g, _, errno := m.Given(nil, hole, 0, 0); errno != 0 || g.NameErrno != unix.EFAULT || len(bytes.Join([][]byte{g.Args, g.Env}, nil)) != 0 {
		t.Errorf("%+v %v", g, errno)
	}
	runtime.KeepAlive(mem)
}
