// Package lazyre compiles regular expressions when they are first used. A
// session starts six processes of the one binary; none needs most of the
// expressions that stand in it, and compiling all at each start is felt.
package lazyre

import (
	"regexp"
	"sync"
)

// Compile returns a function that compiles expr at its first call and returns
// the same expression ever after; it may be called concurrently. Like
// regexp.MustCompile it panics if expr is malformed.
func Compile(expr string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(expr) })
}
