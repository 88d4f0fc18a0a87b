package base

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"os"
	"path/filepath"
	"sort"
	"sync"

	"github.com/countersign/countersign/workspace/layer"
)

// Kind says what an entry is.
type Kind byte

const (
	File   Kind = 'f'
	Link   Kind = 'l'
	Dir    Kind = 'd'
	Denied Kind = 'x' // placeholder of a denied file
	Vault  Kind = 'X' // placeholder of a denied directory
	Closed Kind = 'u' // a file the user cannot read: an empty placeholder
	Bulk   Kind = 'b' // an ignored directory copied as a whole
	Attach Kind = 'a' // an ignored directory attached as an overlay
)

// Flags of an entry.
const (
	Ignored  = 1 << iota // git ignores it
	Conflict             // a person changed the real file after the agent had changed the staged one
)

// Entry is the base of one path.
type Entry struct {
	Kind  Kind
	Flags uint32
	Mode  uint32      // st_mode of the real file
	Real  layer.Stamp // the real file when it was taken over
	Snap  layer.Stamp // the staged file right after
	Sum   [32]byte    // SHA-256; of a bulk directory its signature
	Rule  string      // of a denied path
	Alias string
}

// Index holds the base of each path. Whoever goes through All, or reads what an
// entry holds, keeps those away who change it; single paths may be asked for and
// set at any time.
type Index struct {
	mu    sync.Mutex
	m     map[string]*Entry
	dirty bool

	saved os.FileInfo       // the file that holds what was read or saved last
	sum   [sha256.Size]byte // of what it holds
}

const indexMagic = "countersign stage index 1\n"

// NewIndex is an empty base.
func NewIndex() *Index { return &Index{m: map[string]*Entry{}} }

// Get is the base of rel, nil if it has none.
func (x *Index) Get(rel string) *Entry {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.m[rel]
}

// Set makes e the base of rel; nil forgets it.
func (x *Index) Set(rel string, e *Entry) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.dirty = true
	if e == nil {
		delete(x.m, rel)
		return
	}
	x.m[rel] = e
}

// All goes through the base in no order; entries may be set meanwhile.
func (x *Index) All() iter.Seq2[string, *Entry] { return maps.All(x.m) }

// In lists what the base has directly in a directory.
func (x *Index) In(dir string) (rels []string) {
	for rel := range x.All() {
		if layer.Parent(rel) == dir {
			rels = append(rels, rel)
		}
	}
	return rels
}

// Clash notes that both sides changed what e is the base of.
func (x *Index) Clash(e *Entry) {
	x.mu.Lock()
	defer x.mu.Unlock()
	e.Flags |= Conflict
}

// Conflicts lists the paths that both sides changed, sorted.
func (x *Index) Conflicts() []string {
	x.mu.Lock()
	defer x.mu.Unlock()
	var list []string
	for rel, e := range x.m {
		if e.Flags&Conflict != 0 {
			list = append(list, rel)
		}
	}
	sort.Strings(list)
	return list
}

// Touch notes that an entry was changed in place.
func (x *Index) Touch() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.dirty = true
}

// Dirty tells whether the base was changed since it was saved.
func (x *Index) Dirty() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.dirty
}

// Save writes the index, whole or not at all; not where the file holds it already,
// for a file system may have whoever renames over a file wait for the disk.
func (x *Index) Save(path string) error {
	var w bytes.Buffer
	x.write(&w)
	sum := sha256.Sum256(w.Bytes())
	if !x.holds(path, sum) {
		st, err := replace(path, w.Bytes())
		if err != nil {
			return err
		}
		x.saved, x.sum = st, sum
	}
	x.mu.Lock()
	x.dirty = false
	x.mu.Unlock()
	return nil
}

// holds tells whether the file at path is the one that was read or saved last, with
// that content.
func (x *Index) holds(path string, sum [sha256.Size]byte) bool {
	if x.saved == nil || x.sum != sum {
		return false
	}
	st, err := os.Lstat(path)
	return err == nil && os.SameFile(st, x.saved) && st.Size() == x.saved.Size() && st.ModTime().Equal(x.saved.ModTime())
}

func replace(path string, b []byte) (os.FileInfo, error) {
	f, err := os.CreateTemp(filepath.Dir(path), ".index.*")
	if err != nil {
		return nil, err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(b)
	st, serr := f.Stat()
	if err = errors.Join(err, serr, f.Close()); err != nil {
		return nil, err
	}
	return st, os.Rename(f.Name(), path)
}

func (x *Index) write(w *bytes.Buffer) {
	w.WriteString(indexMagic)
	paths := make([]string, 0, len(x.m))
	for p := range x.m {
		paths = append(paths, p)
	}
	sort.Strings(paths)
	var b []byte
	str := func(s string) { b = append(binary.AppendUvarint(b, uint64(len(s))), s...) }
	st := func(s layer.Stamp) {
		b = binary.AppendVarint(binary.AppendVarint(binary.AppendVarint(b, s.Size), s.MTime), s.CTime)
		b = binary.AppendUvarint(b, s.Ino)
	}
	for _, p := range paths {
		e := x.m[p]
		b = append(b[:0], byte(e.Kind))
		b = binary.AppendUvarint(binary.AppendUvarint(b, uint64(e.Flags)), uint64(e.Mode))
		str(p)
		st(e.Real)
		st(e.Snap)
		b = append(b, e.Sum[:]...)
		str(e.Rule)
		str(e.Alias)
		w.Write(b)
	}
	w.WriteByte(0) // the end: a shorter file is a torn one
}

var errIndex = errors.New("the base of the staging layer cannot be read")

// LoadIndex reads what Save wrote.
func LoadIndex(path string) (*Index, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	all, err := io.ReadAll(f)
	if err != nil {
		return nil, err
	}
	r := bytes.NewReader(all)
	head := make([]byte, len(indexMagic))
	if _, err := io.ReadFull(r, head); err != nil || string(head) != indexMagic {
		return nil, fmt.Errorf("%w: %s: not of this version", errIndex, path)
	}
	x := NewIndex()
	x.saved, x.sum = st, sha256.Sum256(all)
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

func readEntry(r *bytes.Reader) (string, *Entry, error) {
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
	st := func() layer.Stamp {
		return layer.Stamp{Size: signed(), MTime: signed(), CTime: signed(), Ino: num()}
	}
	e := &Entry{Kind: Kind(k), Flags: uint32(num()), Mode: uint32(num())}
	p := str()
	e.Real, e.Snap = st(), st()
	_, err = io.ReadFull(r, e.Sum[:])
	fail = errors.Join(fail, err)
	e.Rule, e.Alias = str(), str()
	if errors.Is(fail, io.EOF) {
		fail = io.ErrUnexpectedEOF
	}
	return p, e, fail
}

// IsDir tells whether a directory stands at such an entry.
func (k Kind) IsDir() bool { return k == Dir || k == Vault || k == Bulk || k == Attach }

// OtherNames lists the base files that were other names of a real file's inode.
func (x *Index) OtherNames(it *layer.Item) (rels []string) {
	if it.St.Nlink < 2 {
		return nil
	}
	for rel, e := range x.All() {
		if e.Kind == File && e.Real.Ino == it.St.Ino && rel != it.Rel {
			rels = append(rels, rel)
		}
	}
	return rels
}
