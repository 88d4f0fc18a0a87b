package price

import (
	"math/bits"

	"github.com/countersign/countersign/internal/usd"
)

// Nano is money in nano-dollars.
type Nano = usd.Nano

const nanos = uint64(usd.Dollar)

// factor is a decimal number, times 10⁹.
type factor = usd.Nano

const one = usd.Dollar

// sum adds products exactly, in 128 bits.
type sum struct{ hi, lo uint64 }

func (s *sum) add(tokens int64, price Nano) {
	hi, lo := bits.Mul64(uint64(tokens), uint64(price))
	var carry uint64
	s.lo, carry = bits.Add64(s.lo, lo, 0)
	s.hi += hi + carry
}

// over divides and rounds half up; ok is false if it does not fit.
func (s sum) over(d uint64) (n Nano, ok bool) {
	lo, carry := bits.Add64(s.lo, d/2, 0)
	hi := s.hi + carry
	if hi >= d {
		return 0, false
	}
	q, _ := bits.Div64(hi, lo, d)
	return Nano(q), q <= 1<<63-1
}

// times multiplies by a factor.
func times(n Nano, f factor) (Nano, bool) {
	var s sum
	s.add(int64(n), f)
	return s.over(nanos)
}
