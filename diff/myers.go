package diff

import "math"

// myers is the linear-space variant of E. Myers, "An O(ND) Difference Algorithm
// and Its Variations" (1986), section 4b: find a point in the middle of a
// shortest path from both ends, then solve the two halves.
type myers struct {
	a, b   []int32
	ai, bi []int  // where they stand in their files
	ca, cb []bool // marked by file index

	fwd, bwd []int // furthest x on each diagonal, from the start and from the end
	off      int   // index of diagonal 0 in them
}

// Beyond this many edits between two points the search takes the best point
// reached so far: the result is still exact, only maybe not the shortest. The
// smaller bound is for files where the square of it would be felt.
const (
	maxCost     = 2048
	maxCostHuge = 256
	hugeLines   = 200_000
)

func (m *myers) run() {
	n := len(m.a) + len(m.b) + 3
	if len(m.a) > 0 && len(m.b) > 0 {
		m.fwd, m.bwd = make([]int, n), make([]int, n)
	}
	m.off = len(m.b) + 1
	m.compare(0, len(m.a), 0, len(m.b))
}

func (m *myers) compare(al, ah, bl, bh int) {
	for {
		for al < ah && bl < bh && m.a[al] == m.b[bl] {
			al++
			bl++
		}
		for al < ah && bl < bh && m.a[ah-1] == m.b[bh-1] {
			ah--
			bh--
		}
		if al == ah || bl == bh {
			for ; al < ah; al++ {
				m.ca[m.ai[al]] = true
			}
			for ; bl < bh; bl++ {
				m.cb[m.bi[bl]] = true
			}
			return
		}
		x, y := m.middle(al, ah, bl, bh)
		// The smaller half by recursion, the larger by the loop: the stack
		// stays logarithmic.
		if x-al+y-bl < ah-x+bh-y {
			m.compare(al, x, bl, y)
			al, bl = x, y
		} else {
			m.compare(x, ah, y, bh)
			ah, bh = x, y
		}
	}
}

// middle returns a point of a shortest (beyond the bound: short) path from
// (al,bl) to (ah,bh), never one of these two.
func (m *myers) middle(al, ah, bl, bh int) (x, y int) {
	f := front{min: al - bl, max: al - bl}
	r := front{min: ah - bh, max: ah - bh}
	lo, hi := al-bh, ah-bl
	odd := (f.min-r.min)&1 != 0
	m.fwd[m.off+f.min], m.bwd[m.off+r.min] = al, ah
	limit := maxCost
	if ah-al+bh-bl > hugeLines {
		limit = maxCostHuge
	}
	for cost := 1; ; cost++ {
		f.widen(m.fwd, m.off, lo, hi, -1)
		for k := f.max; k >= f.min; k -= 2 {
			x := max(m.fwd[m.off+k-1]+1, m.fwd[m.off+k+1])
			for x < ah && x-k < bh && m.a[x] == m.b[x-k] {
				x++
			}
			m.fwd[m.off+k] = x
			if odd && r.min <= k && k <= r.max && m.bwd[m.off+k] <= x {
				return x, x - k
			}
		}
		r.widen(m.bwd, m.off, lo, hi, math.MaxInt)
		for k := r.max; k >= r.min; k -= 2 {
			x := min(m.bwd[m.off+k-1], m.bwd[m.off+k+1]-1)
			for x > al && x-k > bl && m.a[x-1] == m.b[x-k-1] {
				x--
			}
			m.bwd[m.off+k] = x
			if !odd && f.min <= k && k <= f.max && x <= m.fwd[m.off+k] {
				return x, x - k
			}
		}
		if cost >= limit {
			return m.best(f, r, al, ah, bl, bh)
		}
	}
}

// front is the range of diagonals that one direction has reached.
type front struct{ min, max int }

// widen makes room for one more edit, within the diagonals that exist.
func (f *front) widen(v []int, off, lo, hi, outside int) {
	if f.min > lo {
		f.min--
		v[off+f.min-1] = outside
	} else {
		f.min++
	}
	if f.max < hi {
		f.max++
		v[off+f.max+1] = outside
	} else {
		f.max--
	}
}

// best gives up on the shortest path: the point furthest from its own end.
func (m *myers) best(f, r front, al, ah, bl, bh int) (x, y int) {
	ahead, fx, fy := -1, al, bl
	for k := f.max; k >= f.min; k -= 2 {
		x := min(m.fwd[m.off+k], ah)
		if x-k > bh {
			x = bh + k
		}
		if d := x - al + x - k - bl; d > ahead && x >= al && x-k >= bl {
			ahead, fx, fy = d, x, x-k
		}
	}
	behind, rx, ry := -1, ah, bh
	for k := r.max; k >= r.min; k -= 2 {
		x := max(m.bwd[m.off+k], al)
		if x-k < bl {
			x = bl + k
		}
		if d := ah - x + bh - (x - k); d > behind && x <= ah && x-k <= bh {
			behind, rx, ry = d, x, x-k
		}
	}
	if ahead >= behind {
		return fx, fy
	}
	return rx, ry
}
