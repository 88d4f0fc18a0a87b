package knowing

import (
	"crypto/rand"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/countersign/countersign/gateway/scan"
	"github.com/countersign/countersign/workspace/stage"
)

// Bounds of what is read of a project's denied files: more is data, not secrets.
const (
	maxDeniedFiles = 2000
	maxDeniedBytes = 8 << 20
)

// Content teaches the gateway's scanner what the project's denied files
// hold, so that it does not leave by another way: a copy, a log, a person's paste.
type Content struct {
	Scanner *scan.Scanner
	root    string
	files   int
	bytes   int
}

// New makes a session's scanner.
func New(root string) *Content {
	key := make([]byte, 32)
	_, _ = rand.Read(key) // never fails
	return &Content{Scanner: scan.New(key), root: root}
}

// Learn reads a denied file, or those of a denied directory. What cannot be read
// by the person cannot be copied by the agent.
func (d *Content) Learn(t stage.Trip) {
	path := t.Host
	if path == "" {
		path = filepath.Join(d.root, t.Path)
	}
	switch {
	case t.Alias != "": // its content is known as that of another name
	case !t.Dir:
		d.file(path)
	default:
		_ = filepath.WalkDir(path, func(path string, e fs.DirEntry, err error) error {
			if d.files >= maxDeniedFiles || d.bytes >= maxDeniedBytes {
				return fs.SkipAll
			}
			if err == nil && e.Type().IsRegular() {
				d.file(path)
			}
			return nil
		})
	}
}

// Lent teaches what a command gets, by the name of its variable.
func (d *Content) Lent(name, value string) { d.Scanner.Learn(scan.DeniedFile, "lent "+name, value) }

func (d *Content) file(path string) {
	if d.files++; d.files > maxDeniedFiles || d.bytes > maxDeniedBytes {
		return
	}
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return
	}
	defer f.Close()
	if fi, err := f.Stat(); err != nil || !fi.Mode().IsRegular() || fi.Size() > scan.MaxFile {
		return
	}
	content, err := io.ReadAll(io.LimitReader(f, scan.MaxFile))
	if err != nil {
		return
	}
	d.bytes += len(content)
	name := strings.TrimPrefix(strings.TrimPrefix(path, d.root), "/")
	for _, v := range scan.Values(content) {
		d.Scanner.Learn(scan.DeniedFile, name, v)
	}
	clear(content)
}
