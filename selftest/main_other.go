//go:build !linux || (!amd64 && !arm64)

package selftest

// Main is the attacker on Linux only.
func Main([]string) (code int, handled bool) { return 0, false }
