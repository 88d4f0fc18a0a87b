package stage

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/countersign/countersign/workspace/tree"
)

// Between the word that a denied file is about to move and its move, an event of
// either path must not undo what the agent did inside.
func TestMoveOfADeniedFileIsWaitedFor(t *testing.T) {
	root := t.TempDir()
	write(t, filepath.Join(root, "conf/.env"), "SECRET")
	write(t, filepath.Join(root, "conf/a"), "1")
	s := newEnv(t, root).start(t, func(o *Options) { o.Backend = Snapshot })
	mustInside(t, s, "mv conf settings")
	list, err := s.Changes(context.Background())
	must(t, err)
	n := 0
	for _, c := range list {
		if c.Unread() && c.RenamedFrom == "conf/.env" && c.Path == "settings/.env" {
			n++
		}
	}
	if n != 1 {
		t.Fatalf("changes: %+v", list)
	}
	w := watch(t, s)
	carried := func(name string) {
		t.Helper()
		write(t, filepath.Join(root, name), name)
		eventually(t, name, func() bool { return w.saw(Carried, name) })
	}
	there := []tree.Place{{From: []byte("conf/.env"), To: []byte("settings/.env")}}
	back := []tree.Place{{From: []byte("settings/.env"), To: []byte("conf/.env")}}
	for _, way := range [][]tree.Place{there, back, there} {
		must(t, s.Move(way))
		for _, p := range []string{"conf/.env", "settings/.env"} { // as late events would
			if f, err := os.OpenFile(filepath.Join(root, p), os.O_WRONLY|os.O_APPEND, 0); err == nil {
				f.WriteString("x")
				f.Close()
			}
		}
		carried("one" + string(way[0].To[:1]) + filepath.Base(t.Name()))
		mustInside(t, s, "test -e settings/.env; test ! -e conf/.env; test ! -s settings/.env")
		must(t, os.MkdirAll(filepath.Dir(filepath.Join(root, string(way[0].To))), 0o755))
		must(t, os.Rename(filepath.Join(root, string(way[0].From)), filepath.Join(root, string(way[0].To))))
		write(t, filepath.Join(root, "two"), string(way[0].To))
		eventually(t, "the denied file in its place", func() bool { return w.saw(Denied, string(way[0].To)) })
		mustInside(t, s, "test -e settings/.env; test ! -e conf/.env; test ! -s settings/.env")
	}
}
