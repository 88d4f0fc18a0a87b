package apply

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"syscall"
	"unicode/utf8"

	"github.com/countersign/countersign/internal/atomicfile"
)

// Name is a path in a JSON file: a string, or {"hex": "…"} where its bytes are
// not valid UTF-8, so that no two paths ever look the same.
type Name string

type hexName struct {
	Hex string `json:"hex"`
}

// MarshalJSON implements json.Marshaler.
func (n Name) MarshalJSON() ([]byte, error) {
	if utf8.ValidString(string(n)) {
		return json.Marshal(string(n))
	}
	return json.Marshal(hexName{hex.EncodeToString([]byte(n))})
}

// UnmarshalJSON implements json.Unmarshaler.
func (n *Name) UnmarshalJSON(b []byte) error {
	var s string
	if len(b) > 0 && b[0] == '"' {
		err := json.Unmarshal(b, &s)
		*n = Name(s)
		return err
	}
	var h hexName
	if err := json.Unmarshal(b, &h); err != nil {
		return err
	}
	raw, err := hex.DecodeString(h.Hex)
	*n = Name(raw)
	return err
}

// remedy says what a person can do about a failing disk.
func remedy(err error) string {
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return "free some disk space and try again; nothing was changed"
	case errors.Is(err, syscall.EROFS), errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EPERM):
		return "make the directory writable and try again"
	case errors.Is(err, syscall.EIO):
		return "the disk reports an error: check it before trying again"
	}
	return ""
}

func syncPath(p string) error {
	f, err := os.OpenFile(p, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}

func syncDir(dir string) error { return atomicfile.SyncDir(dir) }
