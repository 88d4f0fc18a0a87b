package review

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path"
	"path/filepath"

	tea "charm.land/bubbletea/v2"

	"github.com/countersign/countersign"
	"github.com/countersign/countersign/tui/visible"
)

// edited says that the editor has ended.
type edited struct {
	id   string
	file string
	was  []byte
	err  error
}

// edit opens the hunk's new bytes in the person's editor.
func (m *model) edit(h countersign.Hunk) tea.Cmd {
	switch {
	case len(m.Editor) == 0:
		m.note = "no editor: set VISUAL or EDITOR"
		return nil
	case h.Op != countersign.OpModify && h.Op != countersign.OpCreate:
		m.note = "only lines of text can be edited"
		return nil
	case h.PreLen+h.PostLen > maxShown:
		m.note = "too large to edit here: reject it, and edit the file in `countersign shell`"
		return nil
	}
	if err := m.Source.Load(&h); err != nil {
		m.note = explain(err)
		return nil
	}
	file, err := m.editFile(h)
	if err != nil {
		m.note = explain(err)
		return nil
	}
	argv := append(append([]string(nil), m.Editor...), file)
	return tea.ExecProcess(exec.Command(argv[0], argv[1:]...), func(err error) tea.Msg { //nolint:gosec // the person's own editor
		return edited{h.ID, file, h.Post, err}
	})
}

// editFile keeps the name's end, so that the editor knows the language.
func (m *model) editFile(h countersign.Hunk) (string, error) {
	ext := path.Ext(h.Path)
	if _, hostile := visible.String(ext); hostile || len(ext) > 16 || bytes.ContainsAny([]byte(ext), "*/\\") {
		ext = ""
	}
	f, err := os.CreateTemp(m.Dir, "hunk-*"+ext)
	if err != nil {
		return "", err
	}
	_, err = f.Write(h.Post)
	if err = errors.Join(err, f.Close()); err != nil {
		os.Remove(f.Name())
		return "", err
	}
	return filepath.Abs(f.Name())
}

func (m *model) takeEdit(e edited) error {
	defer os.Remove(e.file)
	if e.err != nil {
		return &countersign.Error{Code: countersign.EUsage, Op: "edit hunk", Thing: e.id, Err: e.err, Remedy: "the hunk is as it was"}
	}
	post, err := os.ReadFile(e.file)
	if err != nil {
		return err
	}
	if bytes.Equal(post, e.was) {
		m.note = "nothing edited: the hunk is as it was"
		return nil
	}
	return m.Source.Edit(e.id, post)
}
