// Package usd is money as whole nano-dollars (10⁻⁹ US dollars), so that sums are
// exact. It is pure.
package usd

import (
	"errors"
	"strconv"
	"strings"
)

// Nano is money in nano-dollars.
type Nano int64

// Dollar is one of them.
const Dollar Nano = 1_000_000_000

// maxDollars bounds what is read as money.
const maxDollars = 1_000_000_000

// Parse reads a decimal number of dollars with at most nine digits behind the
// point: no sign, no exponent.
func Parse(s string) (Nano, error) {
	whole, frac, point := strings.Cut(s, ".")
	if whole == "" || point && frac == "" || len(frac) > 9 || strings.Trim(whole+frac, "0123456789") != "" {
		return 0, errors.New("write dollars as 12 or 0.25, with at most nine digits behind the point")
	}
	w, err := strconv.ParseInt(whole, 10, 64)
	if err != nil || w > maxDollars {
		return 0, errors.New("more than a billion dollars")
	}
	f, err := strconv.ParseInt((frac + "000000000")[:9], 10, 64)
	return Nano(w)*Dollar + Nano(f), err
}

// String writes dollars without needless zeros: "0.25".
func (n Nano) String() string {
	if n < 0 {
		return "-" + (-n).String()
	}
	s := strconv.FormatInt(int64(n/Dollar), 10)
	if f := n % Dollar; f != 0 {
		s += "." + strings.TrimRight(strconv.FormatInt(int64(Dollar+f), 10)[1:], "0")
	}
	return s
}

// Cents writes dollars for a person, rounded up to whole cents: "0.01".
func (n Nano) Cents() string {
	const cent = Dollar / 100
	c := (n + cent - 1) / cent
	s := strconv.FormatInt(int64(100+c%100), 10)
	return strconv.FormatInt(int64(c/100), 10) + "." + s[1:]
}
