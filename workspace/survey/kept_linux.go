package survey

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"

	countersign "github.com/countersign/countersign"
	"github.com/countersign/countersign/internal/atomicfile"
	"github.com/countersign/countersign/workspace/layer"
)

// kept is a denied inode as the next session of the project finds it.
type kept struct {
	Ino  uint64 `json:"ino"`
	Born int64  `json:"born"` // nanoseconds since 1970: with the number it names an inode for good
	Rel  string `json:"rel"`
	Rule string `json:"rule"`
}

type keptFile struct {
	V      int    `json:"v"`
	Inodes []kept `json:"inodes"`
}

// Save writes what of the tree is denied to path, for the next session: what is
// renamed until then is known again. What was not met in this one is gone and
// left out, as is what a link led to (the link tells anew), what lies on another
// file system than the root or has no time of birth.
func (n *Names) Save(path string) error {
	root, err := n.real.Lstat("")
	if err != nil {
		return err
	}
	f := keptFile{V: 1}
	n.mu.Lock()
	for id, s := range n.known {
		if s.met && !s.led && s.born != 0 && id.Dev == root.Dev {
			f.Inodes = append(f.Inodes, kept{id.Ino, s.born, s.rel, s.rule})
		}
	}
	n.mu.Unlock()
	b, err := json.Marshal(f)
	if err != nil {
		return err
	}
	return atomicfile.Replace(path, b)
}

// Load takes in what Save wrote, as far as the policy still denies the name.
func (n *Names) Load(path string) error {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	var f keptFile
	if err == nil {
		err = json.Unmarshal(b, &f)
	}
	if err == nil && f.V != 1 {
		err = fmt.Errorf("version %d: made by a newer countersign", f.V)
	}
	if err != nil {
		return &countersign.Error{
			Code: countersign.EInvalid, Op: "read the denied files of the last session in", Thing: path, Err: err,
			Remedy: "remove it: a secret that was renamed since the last session is then not known under its new name",
		}
	}
	root, err := n.real.Lstat("")
	if err != nil {
		return err
	}
	for _, k := range f.Inodes {
		if rule, denied := n.still(k.Rel); denied {
			n.known[layer.FileID{Dev: root.Dev, Ino: k.Ino}] = secret{rel: k.Rel, rule: rule, born: k.Born}
		}
	}
	return nil
}

// still tells whether a name, of a file or a directory, is denied.
func (n *Names) still(rel string) (rule string, denied bool) {
	for _, name := range []string{rel, rel + "/"} {
		if rule, denied := n.denied(name); denied {
			return rule, true
		}
	}
	_, rule, denied = n.Below(rel)
	return rule, denied
}
