package price

import (
	"errors"
	"math/bits"
	"strconv"
	"strings"
)

// Nano is money in nano-dollars (10⁻⁹ US dollars).
type Nano int64

const nanos = 1_000_000_000

// maxDollars bounds what is read as money.
const maxDollars = 1_000_000_000

// ParseDollars reads a decimal number of dollars with at most nine digits behind
// the point: no sign, no exponent.
func ParseDollars(s string) (Nano, error) {
	whole, frac, point := strings.Cut(s, ".")
	if whole == "" || point && frac == "" || len(frac) > 9 || strings.Trim(whole+frac, "0123456789") != "" {
		return 0, errors.New("write dollars as 12 or 0.25, with at most nine digits behind the point")
	}
	w, err := strconv.ParseInt(whole, 10, 64)
	if err != nil || w > maxDollars {
		return 0, errors.New("more than a billion dollars")
	}
	f, _ := strconv.ParseInt((frac + "000000000")[:9], 10, 64)
	return Nano(w*nanos + f), nil
}

// String writes dollars without needless zeros: "0.25".
func (n Nano) String() string {
	if n < 0 {
		return "-" + (-n).String()
	}
	s := strconv.FormatInt(int64(n/nanos), 10)
	if f := int64(n % nanos); f != 0 {
		s += "." + strings.TrimRight(strconv.FormatInt(nanos+f, 10)[1:], "0")
	}
	return s
}

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
func (n Nano) times(f factor) (Nano, bool) {
	var s sum
	s.add(int64(n), f)
	return s.over(nanos)
}
