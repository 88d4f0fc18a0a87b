package keys

import (
	"errors"
	"fmt"
	"io"
	"os"

	countersign "github.com/countersign/countersign"
)

// readPrivate reads a small file that this user alone owns and may read.
func readPrivate(path string) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|nonblock, 0) // a pipe must not hang it
	if err != nil {
		return nil, err
	}
	defer f.Close()
	fi, err := f.Stat() // of what was opened: the name may mean another file by now
	if err != nil {
		return nil, err
	}
	refuse := func(why, remedy string) ([]byte, error) {
		return nil, &countersign.Error{Code: countersign.EAuth, Op: "read", Thing: path, Err: errors.New(why), Remedy: remedy}
	}
	switch {
	case !fi.Mode().IsRegular():
		return refuse("it is no regular file", "name a file that holds the key")
	case foreign(fi):
		return refuse("it belongs to another user", "chown $(id -u) "+path)
	case opens(fi):
		return refuse(fmt.Sprintf("it can be read by others (mode %04o)", fi.Mode().Perm()), "chmod 600 "+path)
	case fi.Size() > maxKey:
		return refuse("it is too large for a key", "name a file that holds nothing else")
	}
	return io.ReadAll(io.LimitReader(f, maxKey))
}
