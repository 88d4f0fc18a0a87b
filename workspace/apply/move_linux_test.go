package apply_test

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	countersign "github.com/countersign/countersign"
	"github.com/countersign/countersign/workspace/apply"
	"github.com/countersign/countersign/workspace/tree"
)

// The denied files of a project whose directory conf the agent renamed, and what it
// did beside that.
var (
	denied  = map[string]string{"conf/.env": "A=1\n", "conf/deep/.env": "B=2\n", "conf/.ssh/id": "key\n", "conf/.ssh/more/id": "key2\n"}
	follow  = map[string]string{"conf/.env": "settings/.env", "conf/deep/.env": "settings/deep/.env", "conf/.ssh": "settings/.ssh"}
	renamed = map[string]string{"conf/a": "DEL", "conf/deep/b": "DEL", "settings/a": "a\n", "settings/deep/b": "b2\n", "conf": "a file now\n", "a.txt": "DEL"}
)

// moving is a world in which the agent's rename of a directory and its other edits
// are accepted, and the moves of the denied files with them.
func moving(t *testing.T, edit, follow map[string]string) *world {
	t.Helper()
	w := newWorld(t, map[string]string{"conf/a": "a\n", "conf/deep/b": "b\n", "a.txt": "1\n"})
	put(t, w.real, denied)
	must(t, os.Chmod(filepath.Join(w.real, "conf"), 0o700))
	stage(t, w, edit)
	w.acceptMoves(follow)
	return w
}

func (w *world) acceptMoves(follow map[string]string) {
	w.t.Helper()
	list := changes(w.t, w.base, w.staged)
	root, err := tree.OpenRoot(w.real)
	must(w.t, err)
	defer root.Close()
	for _, from := range slices.Sorted(maps.Keys(follow)) {
		inode, err := root.Inode(from)
		must(w.t, err)
		mode := uint32(tree.ModeFile)
		if strings.HasSuffix(from, ".ssh") {
			mode = tree.ModeDir
		}
		list = append(list, tree.Move(from, follow[from], inode, mode))
	}
	cs, err := w.review.Update(list, nil, nil)
	must(w.t, err)
	_, err = w.review.AcceptAll()
	must(w.t, err)
	var ids []string
	for _, h := range w.review.Changeset().Hunks {
		if h.State == countersign.Accepted {
			if h.Unread() {
				w.t.Errorf("%s was accepted with all others", h.Path)
			}
			continue
		}
		ids = append(ids, h.ID)
	}
	_, err = w.review.Accept(ids...)
	must(w.t, err)
	if len(ids) < len(follow) {
		w.t.Errorf("%d hunks for %d moves: %+v", len(ids), len(follow), cs.Hunks)
	}
}

// moved is the real tree as it is to be.
func (w *world) moved() map[string]string {
	w.t.Helper()
	want := snapshot(w.t, w.staged)
	for name, content := range denied {
		for from, to := range follow {
			if name == from || strings.HasPrefix(name, from+"/") {
				want[to+strings.TrimPrefix(name, from)] = content
			}
		}
	}
	for name := range want { // what snapshot says of directories
		for d := filepath.Dir(name); d != "."; d = filepath.Dir(d) {
			if _, ok := snapshot(w.t, w.real)[d+"/"]; ok {
				want[d+"/"] = ""
			}
		}
	}
	return want
}

func TestDeniedFilesMoveUnread(t *testing.T) {
	w := moving(t, renamed, follow)
	before := snapshot(t, w.real)
	must(t, os.Chmod(filepath.Join(w.real, "conf/.env"), 0o640))
	must(t, os.Link(filepath.Join(w.real, "conf/.env"), filepath.Join(w.real, "other")))
	watch, err := unix.InotifyInit1(unix.IN_NONBLOCK)
	must(t, err)
	defer unix.Close(watch)
	for name := range denied {
		_, err := unix.InotifyAddWatch(watch, filepath.Join(w.real, name), unix.IN_OPEN|unix.IN_ACCESS)
		must(t, err)
	}
	res, err := w.apply()
	must(t, err)
	buf := make([]byte, 4096)
	if n, err := unix.Read(watch, buf); err != unix.EAGAIN {
		t.Errorf("a denied file was opened: %d bytes of events, %v", n, err)
	}
	want := w.moved()
	want["other"] = "A=1\n"
	w.wantReal(want)
	if len(res.Moves) != 3 || len(w.records) != 1 || w.records[0].Detail["move_count"] != 3 {
		t.Errorf("moves %+v, record %+v", res.Moves, w.records)
	}
	a, err := os.Stat(filepath.Join(w.real, "settings/.env"))
	must(t, err)
	b, err := os.Stat(filepath.Join(w.real, "other"))
	must(t, err)
	if a.Mode().Perm() != 0o640 || !os.SameFile(a, b) {
		t.Errorf("mode %o; the hard link is kept: %t", a.Mode().Perm(), os.SameFile(a, b))
	}
	if d, err := os.Stat(filepath.Join(w.real, "settings")); err != nil || d.Mode().Perm() != 0o700 {
		t.Errorf("the new directory is open to others: %v %v", d.Mode(), err)
	}
	_, err = apply.Undo(t.Context(), w.options())
	must(t, err)
	before["other"] = "A=1\n"
	w.wantReal(before)
	if d, err := os.Stat(filepath.Join(w.real, "conf")); err != nil || d.Mode().Perm() != 0o700 {
		t.Errorf("after the undo: %v %v", d.Mode(), err)
	}
}

// What a person did meanwhile, and what then happens to the moves.
func TestDeniedFilesThatCannotMoveStay(t *testing.T) {
	env := map[string]string{"conf/.env": "settings/.env"}
	for _, c := range []struct {
		name         string
		person       func(root string) error
		follow       map[string]string
		stale, at, v string
	}{
		{"edited in place", func(r string) error { return os.WriteFile(r+"/conf/.env", []byte("A=new\n"), 0o600) }, env, "", "settings/.env", "A=new\n"},
		{"saved as another file", func(r string) error {
			return os.Rename(save(r+"/x", "A=new\n"), r+"/conf/.env")
		}, env, "another file of that name is there now", "conf/.env", "A=new\n"},
		{"removed", func(r string) error { return os.Remove(r + "/conf/.env") }, env, "it is gone", "", ""},
		{"the new place is taken", func(r string) error {
			return os.MkdirAll(r+"/settings/.env", 0o755)
		}, env, "something lies at its new place", "conf/.env", "A=1\n"},
		{"the new directory is a link out", func(r string) error {
			return os.Symlink(filepath.Dir(r), r+"/settings")
		}, env, "a directory on the way to it is a symlink", "conf/.env", "A=1\n"},
		{"the old directory is a link", func(r string) error {
			return pick(os.Rename(r+"/conf", r+"/c2"), os.Symlink("c2", r+"/conf"))
		}, env, "a directory on the way to it is a symlink", "c2/.env", "A=1\n"},
		{"into git's directory", func(r string) error { return os.MkdirAll(r+"/.git", 0o755) }, map[string]string{"conf/.env": ".git/.env"}, "it belongs to a git repository that is there: git's own directory is never written", "conf/.env", "A=1\n"},
		{"two change places", func(string) error { return nil }, map[string]string{"conf/.env": "conf/deep/.env", "conf/deep/.env": "conf/.env"}, "something lies at its new place", "conf/.env", "A=1\n"},
		{"one goes where another was", func(string) error { return nil }, map[string]string{"conf/deep/.env": "settings/.env", "conf/.env": "conf/deep/.env"}, "", "conf/deep/.env", "A=1\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := moving(t, nil, c.follow)
			must(t, c.person(w.real))
			res, err := w.apply()
			if (c.stale == "") != (err == nil) || err != nil && countersign.CodeOf(err) != countersign.EPartly {
				t.Fatal(err)
			}
			for _, h := range res.Stale {
				if h.Why != c.stale {
					t.Errorf("%s is stale: %s", h.Path, h.Why)
				}
			}
			if (len(res.Stale) > 0) != (c.stale != "") {
				t.Errorf("stale: %+v", res.Stale)
			}
			if b, err := os.ReadFile(filepath.Join(w.real, c.at)); c.at != "" && string(b) != c.v {
				t.Errorf("%s holds %q, %v", c.at, b, err)
			}
		})
	}
}

func save(path, content string) string {
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		panic(err)
	}
	return path
}

func pick(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// A forged hunk: the digest binds the inode and both paths, and the name stays.
func TestForgedMovesAreRefused(t *testing.T) {
	for name, forge := range map[string]func(*countersign.Hunk){
		"another place": func(h *countersign.Hunk) { h.Path = "open/.env" },
		"another file":  func(h *countersign.Hunk) { h.OldPath = "conf/deep/.env" },
		"another inode": func(h *countersign.Hunk) { h.Base = tree.InodeName(1, 1) },
	} {
		t.Run(name, func(t *testing.T) {
			w := moving(t, nil, map[string]string{"conf/.env": "settings/.env"})
			o := w.options()
			forge(&o.Hunks[0])
			before := snapshot(t, w.real)
			if _, err := apply.Apply(t.Context(), o); countersign.CodeOf(err) != countersign.EVerify {
				t.Errorf("error %v", err)
			}
			w.wantReal(before)
		})
	}
	t.Run("another name", func(t *testing.T) {
		w := moving(t, nil, map[string]string{"conf/.env": "settings/env.txt"})
		before := snapshot(t, w.real)
		if _, err := w.apply(); countersign.CodeOf(err) != countersign.EDenied {
			t.Errorf("error %v", err)
		}
		w.wantReal(before)
	})
}

func TestMovesKilledAtEveryStep(t *testing.T) {
	for _, do := range []string{"apply", "undo"} {
		moves := 0
		for die := 0; ; die++ {
			w := moving(t, renamed, follow)
			old := snapshot(t, w.real)
			before, after := old, map[string]string(nil)
			if do == "undo" {
				_, err := w.apply()
				must(t, err)
				before, after = snapshot(t, w.real), old
			}
			at := w.runChild(do, die%2 == 1, die)
			if do == "apply" && at == "" {
				w.wantReal(w.moved())
			}
			if at == "" {
				break
			}
			if at == string(apply.StepMove) {
				moves++
			}
			if die%3 == 0 && at != string(apply.StepPlan) { // the recovery is killed too
				w.runChild("recover", false, die%7)
			}
			what, err := apply.Recover(w.state, w.real)
			must(t, err)
			now := snapshot(t, w.real)
			if done := after != nil && cmp.Equal(now, after) || after == nil && !cmp.Equal(now, before) && cmp.Equal(now, w.moved()); !done && !cmp.Equal(now, before) {
				t.Fatalf("%s, step %d (%s): neither old nor new after %q:\n%s", do, die, at, what, cmp.Diff(before, now))
			}
		}
		if moves != 3 {
			t.Errorf("%s: killed before %d moves", do, moves)
		}
	}
}
