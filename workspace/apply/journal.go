package apply

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	countersign "github.com/countersign/countersign"
	"github.com/countersign/countersign/internal/atomicfile"
	"github.com/countersign/countersign/workspace/store"
	"github.com/countersign/countersign/workspace/tree"
)

// journalVersion is the version of apply/journal.json and apply/last.json
// (docs/formats/apply.md).
const journalVersion = 1

// movesVersion is that of a journal with moves, which an older reader must not
// take for one without.
const movesVersion = 2

// The states of a journal. Until it says committed, a crash is undone; from then
// on it is finished.
const (
	writing   = "writing"   // the new versions, beside the tree; nothing has moved
	swapping  = "swapping"  // they are whole and are being put in their places
	committed = "committed" // all is in its place; what was displaced can go
)

type journal struct {
	Version int        `json:"version"`
	ID      string     `json:"id"`
	Kind    string     `json:"kind"` // apply, undo
	Root    Name       `json:"root"`
	Session string     `json:"session"`
	State   string     `json:"state"`
	TempDir Name       `json:"temp_dir"` // made in the root, removed in the end
	Entries []entry    `json:"entries"`
	Moves   []moved    `json:"moves,omitempty"`   // denied files, in this order
	Made    []dir      `json:"made,omitempty"`    // directories that come, outermost first
	Removed []dir      `json:"removed,omitempty"` // directories that go if they are empty, innermost first
	Hunks   []string   `json:"hunks,omitempty"`   // digests applied
	Files   []fileName `json:"files,omitempty"`
	// Beside is what the caller did together with it: kept for the undo.
	Beside json.RawMessage `json:"beside,omitempty"`
}

type fileName struct {
	Path    Name     `json:"path"`
	OldPath Name     `json:"old_path,omitempty"`
	Merged  bool     `json:"merged,omitempty"`
	Hunks   []string `json:"hunks"`
}

type dir struct {
	Path Name   `json:"path"`
	Perm uint32 `json:"perm,omitempty"`
}

// entry is one path that changes. Temp holds the new version before the swap
// and the old one after it.
type entry struct {
	Path Name     `json:"path"`
	Temp Name     `json:"temp"`
	Pre  *version `json:"pre"`
	Post *version `json:"post"`

	body body // of Post; not in the file
}

// version is what a path is: content and kind, and the permission bits that the
// real file has beyond git's.
type version struct {
	Sum  string `json:"sha256"`
	Size int64  `json:"size"`
	Mode uint32 `json:"mode"`
	Perm uint32 `json:"perm"`
	UID  int    `json:"uid"`
	GID  int    `json:"gid"`
}

// same compares content and git mode.
func (v *version) same(w *version) bool {
	if v == nil || w == nil {
		return v == w
	}
	return v.Sum == w.Sum && v.Mode == w.Mode
}

func (v *version) sum() string {
	if v == nil {
		return ""
	}
	return v.Sum
}

func (v *version) mode() uint32 {
	if v == nil {
		return 0
	}
	return v.Mode
}

// look reads what a path is now; nil if nothing is there.
func look(r *tree.Root, p string) (*version, error) {
	st, err := r.State(p)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return &version{Sum: st.SHA256, Size: st.Size, Mode: st.Mode & 0o170777}, nil
}

func applyDir(stateDir string) string    { return filepath.Join(stateDir, "apply") }
func journalPath(stateDir string) string { return filepath.Join(applyDir(stateDir), "journal.json") }
func lastPath(stateDir string) string    { return filepath.Join(applyDir(stateDir), "last.json") }

func (j *journal) write(stateDir string) error {
	b, err := json.Marshal(j)
	if err == nil {
		err = atomicfile.Write(journalPath(stateDir), b, 0o600)
	}
	if err != nil {
		return &countersign.Error{Code: countersign.EInternal, Op: "write the apply journal", Thing: stateDir, Err: err, Remedy: store.Remedy(err)}
	}
	return nil
}

// readJournal returns nil if there is none.
func readJournal(path string) (*journal, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	j := &journal{}
	if err == nil {
		err = json.Unmarshal(b, j)
	}
	if err == nil && j.Version != journalVersion && j.Version != movesVersion {
		err = fmt.Errorf("version %d is not known to this binary", j.Version)
	}
	if err != nil {
		return nil, &countersign.Error{Code: countersign.EInvalid, Op: "read the apply journal", Thing: path, Err: err, Remedy: "use the countersign that wrote it, or look at the project's tree and move the file away"}
	}
	return j, nil
}
