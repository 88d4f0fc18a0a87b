//go:build amd64 || arm64

package live

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	countersign "github.com/countersign/countersign"
	"github.com/countersign/countersign/internal/filelock"
	"github.com/countersign/countersign/sandbox/tripwire"
	"github.com/countersign/countersign/workspace/tree"
)

// startFiles are what a shell or its line editor reads by itself. An agent that
// could write them would put a command of its own into every `bash -lc` that a
// person approves, and into the person's own shell.
var startFiles = []string{
	".profile", ".bash_profile", ".bash_login", ".bash_logout", ".bashrc", ".inputrc", ".kshrc", ".mkshrc",
	".zshenv", ".zprofile", ".zshrc", ".zlogin", ".zlogout",
}

// projectIsOne refuses a directory that cannot be staged: the whole machine, or
// one that holds the layers themselves, as a home does, which would be copied
// into themselves.
func (s *live) projectIsOne() error {
	root := s.project.Root
	refused := &countersign.Error{Code: countersign.EInvalid, Op: "start a session in", Thing: root}
	if root == "/" {
		refused.Err, refused.Remedy = errors.New("it is the whole machine, not a project"), "cd to the directory of one project"
		return refused
	}
	if rule, denied := s.policy.Path("./"); denied {
		refused.Err = fmt.Errorf("the policy of a repository around it denies the whole of it: rule %s, %s", rule.ID, rule.Pos)
		refused.Remedy = "work in another directory; what is denied there is not for an agent"
		return refused
	}
	state, err := filepath.EvalSymlinks(s.Dirs.State)
	if err != nil {
		return err
	}
	if state == root || strings.HasPrefix(state, root+"/") {
		refused.Err = errors.New("it holds Countersign's own state, " + state)
		refused.Remedy = "cd to the directory of one project below it, or set XDG_STATE_HOME to a directory outside of it"
		return refused
	}
	return nil
}

// startMounts lay an empty file that nobody can change over each of them. A
// directory that the agent left in one's place is put aside.
func (s *live) startMounts(home string) ([]countersign.Mount, error) {
	root, err := tree.OpenRoot(s.home)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	empty := filepath.Join(filepath.Dir(s.home), ".empty")
	if err := os.WriteFile(empty, nil, 0o400); err != nil && !errors.Is(err, fs.ErrPermission) {
		return nil, err
	}
	var out []countersign.Mount
	for _, name := range startFiles {
		if s.inProject(home, "~/"+name) {
			continue
		}
		if st, err := root.Lstat(name); err == nil && st.Mode.IsDir() {
			if err := root.Rename(name, name+".aside-"+s.id); err != nil {
				return nil, err
			}
		}
		out = append(out, countersign.Mount{Type: "bind", Source: empty, Target: filepath.Join(home, name), RO: true})
	}
	return out, nil
}

// terminalSize is the size of the person's terminal, 24 by 80 where it has none.
func (s *live) terminalSize() (rows, cols uint16) {
	ws, err := unix.IoctlGetWinsize(int(s.In.Fd()), unix.TIOCGWINSZ)
	if err != nil || ws.Row == 0 || ws.Col == 0 {
		return 24, 80
	}
	return ws.Row, ws.Col
}

// lockHome takes an agent's private home for this session; if another session
// holds it, this one gets a home of its own beside it.
func lockHome(home *string, id string) (*os.File, error) {
	for _, dir := range []string{*home, *home + "-" + id} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, err
		}
		f, err := filelock.Try(filepath.Join(filepath.Dir(dir), "."+filepath.Base(dir)+".lock"), filelock.Exclusive)
		if errors.Is(err, filelock.ErrBusy) {
			continue
		}
		*home = dir
		return f, err
	}
	return nil, filelock.ErrBusy
}

// layHome lays what does not depend on the staged tree: the start files and the
// tripwires of the home.
func (s *live) layHome(home string) error {
	mounts, err := s.startMounts(home)
	if err != nil {
		return err
	}
	trips, err := s.serveNodes(s.homeNodes(home, false))
	if err != nil {
		return err
	}
	return s.box.Lay(mounts, trips)
}

// homeNodes are one for each well-known place of the home, there or not: an attempt
// is an event, not a silent "no such file". Those that the project lies in, above,
// are laid over it.
func (s *live) homeNodes(home string, above bool) (out []tripwire.Node) {
	for _, place := range s.policy.HomeTripwires() {
		rule, denied := s.policy.Path(strings.TrimSuffix(place, "/"))
		path := filepath.Join(home, strings.TrimPrefix(place, "~/"))
		if !denied || s.inProject(home, place) || above != strings.HasPrefix(s.project.Root, path+"/") {
			continue
		}
		attr, err := tripwire.Attrs(path)
		if err != nil {
			attr = absentAttr(place, s.Now())
		}
		out = append(out, s.node(path, rule.ID, attr))
	}
	return out
}

// inProject reports whether a place of the home lies in the project, which has
// tripwires of its own (a home that is itself a repository).
func (s *live) inProject(home, place string) bool {
	path := filepath.Join(home, strings.TrimPrefix(place, "~/"))
	return path == s.project.Root || strings.HasPrefix(path, s.project.Root+"/")
}
