package layer

import (
	"errors"

	"golang.org/x/sys/unix"
)

// Stamp tells by stat(2) that a file was not touched: bytes, and nanoseconds
// since 1970. ctime cannot be set.
type Stamp struct {
	Size, MTime, CTime int64
	Ino                uint64
}

// StampOf takes the stamp out of what stat(2) said.
func StampOf(st *unix.Stat_t) Stamp {
	return Stamp{Size: st.Size, MTime: st.Mtim.Nano(), CTime: st.Ctim.Nano(), Ino: st.Ino}
}

// FileID names an inode, as long as it lives.
type FileID struct{ Dev, Ino uint64 }

// IDOf takes the inode out of what stat(2) said.
func IDOf(st *unix.Stat_t) FileID { return FileID{st.Dev, st.Ino} }

// Born is when the file at rel was made, in nanoseconds since 1970; 0 where the
// file system does not say. It tells an inode from a later one of its number.
func (r *Root) Born(rel string) (FileID, int64) {
	var id FileID
	var born int64
	r.in("statx", rel, func(at int, name string) error {
		var sx unix.Statx_t
		err := unix.Statx(at, name, unix.AT_SYMLINK_NOFOLLOW, unix.STATX_INO|unix.STATX_BTIME, &sx)
		if err != nil {
			return err
		}
		id = FileID{unix.Mkdev(sx.Dev_major, sx.Dev_minor), sx.Ino}
		if sx.Mask&unix.STATX_BTIME != 0 {
			born = sx.Btime.Sec*1e9 + int64(sx.Btime.Nsec)
		}
		return nil
	})
	return id, born
}

// GitMode is the mode git would record.
func GitMode(mode uint32) uint32 {
	switch {
	case mode&unix.S_IFMT == unix.S_IFLNK:
		return 0o120000
	case mode&0o100 != 0:
		return 0o100755
	}
	return 0o100644
}

// Full tells whether an error means that there is no room.
func Full(err error) bool { return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) }
