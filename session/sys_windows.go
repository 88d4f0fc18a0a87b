package session

import "os"

// No session runs on Windows; what is here lets the rest of the program read
// what lies on disk.

func writable(dir string) bool { st, err := os.Stat(dir); return err == nil && st.IsDir() }

func private(dir string) bool { return writable(dir) }

func blocks(path string) int64 {
	st, err := os.Lstat(path)
	if err != nil {
		return 0
	}
	return st.Size()
}

func passed([]*os.File) []byte { return nil }

func rights([]byte) ([]*os.File, error) { return nil, nil }
