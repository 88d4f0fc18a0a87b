//go:build amd64 || arm64

package seccomp

import (
	"cmp"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"
)

// Offsets in struct seccomp_data (seccomp(2)), little endian.
const (
	offNR   = 0
	offArch = 4
	offArgs = 16
)

// newest is the highest call that the table was made with. What a newer kernel
// adds is a call that nobody has looked at: here there is no such call, and
// programs fall back as on an older kernel.
const newest = unix.SYS_RSEQ_SLICE_YIELD

// Program returns the filter for the rows: the architecture first, then a
// binary search for the number, then the rows' tests.
func Program(rows []Row) ([]unix.SockFilter, error) {
	var a asm
	a.load(offArch)
	a.jump(unix.BPF_JEQ, Arch, "native", "foreign")
	a.label("native")
	a.load(offNR)
	a.jump(unix.BPF_JGE, abiBit, "foreign", "numbers")
	a.label("numbers")
	a.jump(unix.BPF_JGE, newest+1, "unheard", "heard")
	a.label("heard")
	calls := byNumber(rows)
	a.search(calls)
	a.label("allow")
	a.ret(unix.SECCOMP_RET_ALLOW)
	a.label("unheard")
	a.ret(unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS))
	a.label("foreign")
	a.ret(unix.SECCOMP_RET_USER_NOTIF)
	for _, c := range calls {
		a.call(c)
	}
	return a.link()
}

// Foreign reports whether a notified call is of another architecture or ABI,
// so that its number and arguments mean something else than they seem.
func Foreign(d *Data) bool { return d.Arch != Arch || uint32(d.NR) >= abiBit }

func byNumber(rows []Row) [][]Row {
	sorted := slices.Clone(rows)
	slices.SortStableFunc(sorted, func(x, y Row) int { return cmp.Compare(x.NR, y.NR) })
	var out [][]Row
	for _, r := range sorted {
		if n := len(out); n > 0 && out[n-1][0].NR == r.NR {
			out[n-1] = append(out[n-1], r)
			continue
		}
		out = append(out, []Row{r})
	}
	return out
}

// asm is an assembler with labels. A conditional jump reaches 255 instructions
// only, so that each is followed by an unconditional one, which reaches all.
type asm struct {
	code   []unix.SockFilter
	labels map[string]int
	refs   map[int]string // instruction -> label of its BPF_JA
	next   int
}

func (a *asm) op(code uint16, k uint32) {
	a.code = append(a.code, unix.SockFilter{Code: code, K: k})
}

func (a *asm) load(off uint32) { a.op(unix.BPF_LD|unix.BPF_W|unix.BPF_ABS, off) }
func (a *asm) ret(v uint32)    { a.op(unix.BPF_RET|unix.BPF_K, v) }

func (a *asm) label(name string) {
	if a.labels == nil {
		a.labels = map[string]int{}
	}
	a.labels[name] = len(a.code)
}

func (a *asm) fresh() string {
	a.next++
	return fmt.Sprint("l", a.next)
}

func (a *asm) goTo(name string) {
	if a.refs == nil {
		a.refs = map[int]string{}
	}
	a.refs[len(a.code)] = name
	a.op(unix.BPF_JMP|unix.BPF_JA, 0)
}

// jump goes to yes if the comparison with k holds, else to no.
func (a *asm) jump(cond uint16, k uint32, yes, no string) {
	a.code = append(a.code, unix.SockFilter{Code: unix.BPF_JMP | cond | unix.BPF_K, Jf: 1, K: k})
	a.goTo(yes)
	a.goTo(no)
}

func (a *asm) search(calls [][]Row) {
	if len(calls) == 0 {
		a.goTo("allow")
		return
	}
	if len(calls) == 1 {
		a.jump(unix.BPF_JEQ, calls[0][0].NR, callLabel(calls[0][0].NR), "allow")
		return
	}
	mid := len(calls) / 2
	left, right := a.fresh(), a.fresh()
	a.jump(unix.BPF_JGE, calls[mid][0].NR, right, left)
	a.label(left)
	a.search(calls[:mid])
	a.label(right)
	a.search(calls[mid:])
}

func callLabel(nr uint32) string { return fmt.Sprint("nr", nr) }

// call tries the rows of one number in turn.
func (a *asm) call(rows []Row) {
	a.label(callLabel(rows[0].NR))
	for _, r := range rows {
		otherwise := a.fresh()
		for _, t := range r.Tests {
			a.test(t, otherwise)
		}
		v := uint32(unix.SECCOMP_RET_USER_NOTIF)
		if r.Do == Fail {
			v = unix.SECCOMP_RET_ERRNO | uint32(r.Errno)
		}
		a.ret(v)
		a.label(otherwise)
	}
	a.ret(unix.SECCOMP_RET_ALLOW)
}

// test goes on if t holds, else to the label.
func (a *asm) test(t Test, otherwise string) {
	holds := a.fresh()
	low := uint32(offArgs + 8*t.Arg)
	a.load(low)
	switch t.Op {
	case AnyBit:
		a.jump(unix.BPF_JSET, t.Mask, holds, otherwise)
	case NoBit:
		a.jump(unix.BPF_JSET, t.Mask, otherwise, holds)
	case Pointer:
		high := a.fresh()
		a.jump(unix.BPF_JEQ, 0, high, holds)
		a.label(high)
		a.load(low + 4)
		a.jump(unix.BPF_JEQ, 0, otherwise, holds)
	default:
		a.among(t, holds, otherwise)
	}
	a.label(holds)
}

func (a *asm) among(t Test, holds, otherwise string) {
	if t.Mask != 0 {
		a.op(unix.BPF_ALU|unix.BPF_AND|unix.BPF_K, t.Mask)
	}
	hit, miss := holds, otherwise
	if t.Op == NotIn {
		hit, miss = otherwise, holds
	}
	for _, v := range t.Values {
		next := a.fresh()
		a.jump(unix.BPF_JEQ, v, hit, next)
		a.label(next)
	}
	a.goTo(miss)
}

func (a *asm) link() ([]unix.SockFilter, error) {
	for at, name := range a.refs {
		to, ok := a.labels[name]
		if !ok || to <= at {
			return nil, fmt.Errorf("seccomp: label %s at %d: BPF jumps forward only", name, at)
		}
		a.code[at].K = uint32(to - at - 1)
	}
	if len(a.code) > unix.BPF_MAXINSNS {
		return nil, fmt.Errorf("seccomp: %d instructions, the kernel takes %d", len(a.code), unix.BPF_MAXINSNS)
	}
	return a.code, nil
}
