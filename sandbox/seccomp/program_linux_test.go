//go:build amd64 || arm64

package seccomp

import (
	"encoding/binary"
	"math/rand/v2"
	"os"
	"os/exec"
	"runtime"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// run interprets the filter as the kernel does.
func run(t *testing.T, prog []unix.SockFilter, d Data) uint32 {
	t.Helper()
	mem := unsafe.Slice((*byte)(unsafe.Pointer(&d)), unsafe.Sizeof(d))
	var a uint32
	for pc := 0; pc < len(prog); pc++ {
		in := prog[pc]
		var cond bool
		switch in.Code {
		case unix.BPF_LD | unix.BPF_W | unix.BPF_ABS:
			a = binary.LittleEndian.Uint32(mem[in.K:])
			continue
		case unix.BPF_ALU | unix.BPF_AND | unix.BPF_K:
			a &= in.K
			continue
		case unix.BPF_RET | unix.BPF_K:
			return in.K
		case unix.BPF_JMP | unix.BPF_JA:
			pc += int(in.K)
			continue
		case unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K:
			cond = a == in.K
		case unix.BPF_JMP | unix.BPF_JGE | unix.BPF_K:
			cond = a >= in.K
		case unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K:
			cond = a&in.K != 0
		default:
			t.Fatalf("instruction %d: code %#x is not in the kernel's cacheable set", pc, in.Code)
		}
		if cond {
			pc += int(in.Jt)
		} else {
			pc += int(in.Jf)
		}
	}
	t.Fatal("fell off the end")
	return 0
}

func program(t testing.TB) []unix.SockFilter {
	t.Helper()
	p, err := Program(Table())
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestFilterIsTheTable(t *testing.T) {
	prog := program(t)
	rows := map[uint32][]Row{}
	for _, r := range Table() {
		rows[r.NR] = append(rows[r.NR], r)
	}
	want := func(d Data) uint32 {
		if Foreign(&d) {
			return unix.SECCOMP_RET_USER_NOTIF
		}
		if d.NR > newest {
			return unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)
		}
		for _, r := range rows[uint32(d.NR)] {
			if r.Meets(&d) {
				if r.Do == Fail {
					return unix.SECCOMP_RET_ERRNO | uint32(r.Errno)
				}
				return unix.SECCOMP_RET_USER_NOTIF
			}
		}
		return unix.SECCOMP_RET_ALLOW
	}
	rng := rand.New(rand.NewPCG(1, 2))
	interesting := []uint64{0, 1, 2, 3, 8, 10, 16, 17, 36, 40, 0x5412, 0x541c, 0x10000000, 0x20000, 0x6000, 0x2000, 1 << 32, ^uint64(0)}
	for nr := -1; nr < 600; nr++ {
		for range 300 {
			d := Data{NR: int32(nr), Arch: Arch}
			for i := range d.Args {
				if d.Args[i] = rng.Uint64(); rng.IntN(4) > 0 {
					d.Args[i] = interesting[rng.IntN(len(interesting))] | interesting[rng.IntN(len(interesting))]
				}
			}
			if got := run(t, prog, d); got != want(d) {
				t.Fatalf("nr %d args %#x: %#x, want %#x", nr, d.Args, got, want(d))
			}
		}
	}
}

func TestForeignIsAlwaysNotified(t *testing.T) {
	prog := program(t)
	for _, arch := range []uint32{unix.AUDIT_ARCH_I386, unix.AUDIT_ARCH_X86_64, unix.AUDIT_ARCH_AARCH64, unix.AUDIT_ARCH_ARM, 0} {
		for _, nr := range []int32{0, 1, 11, 59, 39 | 0x40000000, -1} {
			d := Data{NR: nr, Arch: arch}
			if arch == Arch && uint32(nr) < abiBit {
				continue
			}
			if got := run(t, prog, d); got != unix.SECCOMP_RET_USER_NOTIF || !Foreign(&d) {
				t.Errorf("arch %#x nr %#x: %#x", arch, nr, got)
			}
		}
	}
}

func TestEveryRowSaysWhy(t *testing.T) {
	for _, r := range Table() {
		if r.Call == "" || r.Reason == "" || r.Do == 0 || (r.Do == Refuse || r.Do == Fail) && r.Errno == 0 {
			t.Errorf("%+v", r)
		}
	}
}

func TestProgramRefusesWhatTheKernelWould(t *testing.T) {
	var many []Row
	for i := range 2000 {
		many = append(many, Row{Call: "x", NR: uint32(i), Do: Refuse, Errno: 1, Reason: "x"})
	}
	if _, err := Program(many); err == nil {
		t.Error("a program of too many instructions was made")
	}
}

// TestCommonCallsCostNothing prints what a call without a row costs with the
// filter installed against without.
func TestCommonCallsCostNothing(t *testing.T) {
	if os.Getenv("SECCOMP_CHILD") == "" {
		cmd := exec.Command(os.Args[0], "-test.run", "CommonCalls", "-test.v")
		cmd.Env = append(os.Environ(), "SECCOMP_CHILD=1")
		out, err := cmd.CombinedOutput()
		t.Logf("%s", out)
		if err != nil {
			t.Fatal(err)
		}
		return
	}
	runtime.LockOSThread()
	bare := [2]time.Duration{cost(getpid), cost(openClose)}
	l, killable, err := Install(program(t))
	if err != nil {
		t.Fatal(err)
	}
	filtered := [2]time.Duration{cost(getpid), cost(openClose)}
	t.Logf("listener %d killable %v; getpid %v -> %v (%.2f), open+close %v -> %v (%.2f)", l, killable,
		bare[0], filtered[0], float64(filtered[0])/float64(bare[0]), bare[1], filtered[1], float64(filtered[1])/float64(bare[1]))
}

func getpid() { _, _, _ = unix.RawSyscall(unix.SYS_GETPID, 0, 0, 0) }

func openClose() {
	fd, err := unix.Open("/etc/passwd", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err == nil {
		unix.Close(fd)
	}
}

// cost is the fastest of several series, a call.
func cost(call func()) time.Duration {
	best := time.Hour
	const n = 20000
	for range 7 {
		start := time.Now()
		for range n {
			call()
		}
		best = min(best, time.Since(start)/n)
	}
	return best
}
