// Package count writes a number with its noun, as every screen and message does.
package count

import "strconv"

// Of is "1 hunk", "2 hunks", "10,000 hunks". The noun's plural has an s.
func Of(n int, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return Number(n) + " " + noun
}

// Number is "9,997".
func Number(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
