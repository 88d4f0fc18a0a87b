//go:build !linux

package nearby

// trusted cannot tell here who listens.
func trusted(string) bool { return true }
