package stage

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sort"
)

// kind of an index entry.
type kind byte

const (
	kFile   kind = 'f'
	kLink   kind = 'l'
	kDir    kind = 'd'
	kDenied kind = 'x' // placeholder of a denied file
	kVault  kind = 'X' // placeholder of a denied directory
	kClosed kind = 'u' // a file the user cannot read: an empty placeholder
	kBulk   kind = 'b' // an ignored directory copied as a whole
	kAttach kind = 'a' // an ignored directory attached as an overlay
)

// flags of an index entry.
const (
	fIgnored  = 1 << iota // git ignores it
	fConflict             // a person changed the real file after the agent had changed the staged one
)

// stamp tells by stat(2) that a file was not touched. ctime cannot be set.
type stamp struct {
	size, mtime, ctime int64
	ino                uint64
}

// entry is the base of one path.
type entry struct {
	kind  kind
	flags uint32
	mode  uint32 // st_mode of the real file
	real  stamp  // the real file when it was taken over
	snap  stamp  // the staged file right after
	sum   [32]byte
	rule  string // of a denied path
	alias string
}

// index is the base of a session's layer.
type index struct{ m map[string]*entry }

const indexMagic = "countersign stage index 1\n"

func newIndex() *index { return &index{m: map[string]*entry{}} }

// save writes the index, whole or not at all.
func (x *index) save(path string) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".index.*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	w := bufio.NewWriterSize(f, 1<<16)
	x.write(w)
	err = w.Flush()
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

func (x *index) write(w *bufio.Writer) {
	w.WriteString(indexMagic)
	paths := make([]string, 0, len(x.m))
	for p := range x.m {
		paths = append(paths, p)
	}
	sort.Strings(paths)
	var b []byte
	str := func(s string) { b = append(binary.AppendUvarint(b, uint64(len(s))), s...) }
	st := func(s stamp) {
		b = binary.AppendVarint(binary.AppendVarint(binary.AppendVarint(b, s.size), s.mtime), s.ctime)
		b = binary.AppendUvarint(b, s.ino)
	}
	for _, p := range paths {
		e := x.m[p]
		b = append(b[:0], byte(e.kind))
		b = binary.AppendUvarint(binary.AppendUvarint(b, uint64(e.flags)), uint64(e.mode))
		str(p)
		st(e.real)
		st(e.snap)
		b = append(b, e.sum[:]...)
		str(e.rule)
		str(e.alias)
		w.Write(b)
	}
	w.WriteByte(0) // the end: a shorter file is a torn one
}

var errIndex = errors.New("the base of the staging layer cannot be read")

func loadIndex(path string) (*index, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	r := bufio.NewReaderSize(f, 1<<16)
	head := make([]byte, len(indexMagic))
	if _, err := io.ReadFull(r, head); err != nil || string(head) != indexMagic {
		return nil, fmt.Errorf("%w: %s: not of this version", errIndex, path)
	}
	x := newIndex()
	for {
		p, e, err := readEntry(r)
		if err == io.EOF {
			return x, nil
		}
		if err != nil {
			return nil, fmt.Errorf("%w: %s: %v", errIndex, path, err)
		}
		x.m[p] = e
	}
}

func readEntry(r *bufio.Reader) (string, *entry, error) {
	k, err := r.ReadByte()
	if err != nil {
		return "", nil, io.ErrUnexpectedEOF
	}
	if k == 0 {
		return "", nil, io.EOF
	}
	var fail error
	num := func() uint64 {
		v, err := binary.ReadUvarint(r)
		fail = errors.Join(fail, err)
		return v
	}
	signed := func() int64 {
		v, err := binary.ReadVarint(r)
		fail = errors.Join(fail, err)
		return v
	}
	str := func() string {
		n := num()
		if n > 1<<20 || fail != nil {
			fail = errors.Join(fail, errIndex)
			return ""
		}
		b := make([]byte, n)
		_, err := io.ReadFull(r, b)
		fail = errors.Join(fail, err)
		return string(b)
	}
	st := func() stamp { return stamp{signed(), signed(), signed(), num()} }
	e := &entry{kind: kind(k), flags: uint32(num()), mode: uint32(num())}
	p := str()
	e.real, e.snap = st(), st()
	_, err = io.ReadFull(r, e.sum[:])
	fail = errors.Join(fail, err)
	e.rule, e.alias = str(), str()
	if errors.Is(fail, io.EOF) {
		fail = io.ErrUnexpectedEOF
	}
	return p, e, fail
}
