package keys

import "os"

const nonblock = 0

// Who may read a file is said by its access list, which the profile's directory
// hands down.
func foreign(os.FileInfo) bool { return false }
func opens(os.FileInfo) bool   { return false }
