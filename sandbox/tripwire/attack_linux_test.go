package tripwire

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// attack is one row: with no node over the file it must succeed, with one it
// must be refused, and what is reported must be exactly ops.
type attack struct {
	name string
	sh   string // run in the project; secrets are .env, tool.sh and .ssh/id; other is a plain file
	goal string // read: the canary is printed; change: the file's state moves; free: exit 0, no event
	ops  string // events with the node there, in order
}

var attacks = []attack{
	{"cat", `cat .env`, "read", "read"},
	{"head", `head -c 30 .env`, "read", "read"},
	{"tail", `tail -n 1 .env`, "read", "read"},
	{"sed", `sed -n p .env`, "read", "read"},
	{"grep", `grep CANARY .env`, "read", "read"},
	{"grep -r, one file one event", `grep -r CANARY . --include=.env --exclude-dir=.ssh`, "read", "read"},
	{"sort", `sort .env`, "read", "read"},
	{"dd", `dd if=.env`, "read", "read"},
	{"cp", `cp .env out1; cat out1`, "read", "read"},
	{"cp -a keeps attributes", `cp -a .env out2; cat out2`, "read", "read"},
	{"tar", `tar cf - .env`, "read", "read"},
	{"shell redirect", `read x < .env; echo "$x"`, "read", "read"},
	{"shell source", `. ./.env; echo "$KEY"`, "read", "read"},
	{"python open", `/usr/bin/python3 -c 'print(open(".env").read())'`, "read", "read"},
	{"find -exec", `find . -path ./.ssh -prune -o -name .env -exec cat {} +`, "read", "read"},
	{"/proc/self/root", `cat /proc/self/root$PWD/.env`, "read", "read"},
	{"/proc/self/cwd", `cat /proc/self/cwd/.env`, "read", "read"},
	{"dots and slashes", `cat .//sub/../.env`, "read", "read"},
	{"symlink to it", `ln -s .env l1; cat l1`, "read", "read"},
	{"symlink to its directory", `ln -s . l2; cat l2/.env`, "read", "read"},
	{"hard link to it", `ln .env h1 && cat h1`, "read", ""},
	{"rename it away", `cp -p .env keep; mv .env other-name && cat other-name; mv other-name .env`, "read", "read"},
	{"openat2", `$PROBE __probe openat2 .env`, "read", "read"},
	{"O_PATH descriptor opened again", `$PROBE __probe opath .env`, "read", "read"},
	{"relative to a directory descriptor, O_RDWR", `$PROBE __probe dirfd . . .env`, "read", "write"},
	{"sendfile", `$PROBE __probe sendfile .env`, "read", "read"},
	{"mmap", `$PROBE __probe mmap .env`, "read", "read"},
	{"io_uring openat", `$PROBE __probe io_uring .env`, "read", "read"},
	{"nested user namespace, plain", `$PROBE __probe nested .env read`, "read", "read"},
	{"nested user namespace, umount", `$PROBE __probe nested .env umount`, "read", "read"},
	{"nested user namespace, mount over", `$PROBE __probe nested .env parent`, "read", "read"},
	{"a caller that hides itself", `$PROBE __probe hide .env`, "read", "read"},
	{"from another thread", `$PROBE __probe thread .env`, "read", "read"},
	{"three calls, three events", `cat .env; cat .env; cat .env`, "read", "read read read"},
	{"execute it", `./tool.sh`, "read", "exec"},
	{"interpret it", `sh tool.sh`, "read", "read"},
	{"directory: file below", `cat .ssh/id`, "read", "lookup"},
	{"directory: recursive copy", `cp -r .ssh out3; cat out3/id`, "read", "list"},
	{"directory: recursive grep", `grep -r CANARY .ssh`, "read", "list"},
	{"directory: from inside", `cd .ssh && cat id`, "read", "lookup"},
	{"directory: names are content too", `ls .ssh | sed s/id/` + canary + `/`, "read", "list"},
	{"directory: stat below", `stat .ssh/id && echo ` + canary, "read", "lookup"},

	{"truncate by shell", `: > .env`, "change", "truncate"},
	{"append", `echo x >> .env`, "change", "write"},
	{"tee", `echo x | tee .env`, "change", "truncate"},
	{"tee -a", `echo x | tee -a .env`, "change", "write"},
	{"cp over it", `cp other .env`, "change", "truncate"},
	{"dd over it", `dd if=other of=.env conv=notrunc`, "change", "write"},
	{"python open for writing", `/usr/bin/python3 -c 'open(".env", "w").write("x")'`, "change", "truncate"},
	{"truncate(2)", `$PROBE __probe truncate .env`, "change", "truncate"},
	{"chmod", `chmod 751 .env`, "change", "chmod"},
	{"fchmodat2", `$PROBE __probe fchmodat2 .env`, "change", "chmod"},
	{"chown", `chown $(id -u) .env`, "change", "chown"},
	{"chgrp of the link itself", `chgrp -h $(id -g) .env`, "change", "chown"},
	{"touch opens, then sets times", `touch .env`, "change", "write utimes"},
	{"utimes alone", `/usr/bin/python3 -c 'import os; os.utime(".env", (1, 1))'`, "change", "utimes"},
	{"setxattr", `$PROBE __probe setxattr .env`, "change", "xattr"},
	{"directory: create below", `sh -c 'echo x > .ssh/id'`, "change-dir", "lookup"},
	{"directory: new name", `mkdir .ssh/new`, "change-dir", "lookup"},
	{"directory: remove below", `rm -f .ssh/id`, "change-dir", "lookup lookup"},
	{"directory: rename into", `mv other .ssh/x`, "change-dir", "lookup lookup"},
	{"directory: symlink into", `/usr/bin/python3 -c 'import os; os.symlink("x", ".ssh/l")'`, "change-dir", "lookup"},
	{"directory: chmod", `chmod 700 .ssh`, "change-dir", "chmod"},
	{"directory: unnamed file", `$PROBE __probe tmpfile .ssh`, "read", "create"},

	// The kernel refuses these by itself, a mount point being in the way: no
	// event of ours, and nothing changed.
	{"rename over it", `mv -f other .env`, "change", ""},
	{"unlink", `rm -f .env`, "change", ""},
	{"exchange", `$PROBE __probe exchange .env other`, "change", ""},
	{"remove the directory", `/usr/bin/python3 -c 'import os; os.rename(".ssh", "moved")'`, "change-dir", ""},

	{"stat", `stat .env`, "free", ""},
	{"ls -la", `ls -la . .env; ls -ld .ssh`, "free", ""},
	{"test -e", `test -e .env && test -f .env && test -s .env && test -d .ssh`, "free", ""},
	{"find", `find . -path ./.ssh -prune -o -size -1k -newermt 1990-01-01`, "free", ""},
	{"du", `du -a .env`, "free", ""},
	{"cd", `cd .ssh`, "free", ""},
	{"access(2) says what the mode says", `test -r .env && test -w .env && test ! -x .env && test -x tool.sh && test -x .ssh`, "free", ""},
	{"statfs", `stat -f .env`, "free", ""},
	{"getfattr", `/usr/bin/python3 -c 'import os; os.listxattr(".env")' || true`, "free", ""},
}

const script = "#!/bin/sh\n# \necho " + canary + "\n"

func plant(t testing.TB, dir string) {
	write(t, dir+"/.env", "KEY="+canary+"\n", 0o640)
	write(t, dir+"/tool.sh", script, 0o755)
	write(t, dir+"/.ssh/id", canary+"\n", 0o600)
	write(t, dir+"/other", "other\n", 0o644)
	write(t, dir+"/sub/plain", "plain\n", 0o644)
}

// state is what an attack of the kind "change" moves.
func state(path string) string {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return err.Error()
	}
	return fmt.Sprint(st.Ino, st.Mode, st.Uid, st.Gid, st.Size, st.Mtim, st.Ctim)
}

func (a attack) succeeded(dir string, r result, before string) bool {
	switch a.goal {
	case "read":
		return strings.Contains(r.Out, canary)
	case "change":
		return state(dir+"/.env") != before
	case "change-dir":
		return state(dir+"/.ssh")+state(dir+"/.ssh/id") != before
	}
	return false
}

func (a attack) before(dir string) string {
	if a.goal == "change-dir" {
		return state(dir+"/.ssh") + state(dir+"/.ssh/id")
	}
	return state(dir + "/.env")
}

func TestAttacks(t *testing.T) {
	w := newWorld(t)
	for i, a := range attacks {
		t.Run(a.name, func(t *testing.T) {
			w.t = t
			bare, closed := filepath.Join(w.dir, fmt.Sprint(i, "-bare")), filepath.Join(w.dir, fmt.Sprint(i, "-closed"))
			plant(t, bare)
			plant(t, closed)

			before := a.before(bare)
			r := w.run(bare, "sh", "-c", a.sh)
			if a.goal != "free" && !a.succeeded(bare, r, before) {
				t.Fatalf("the attack proves nothing: it fails without a node too: exit %d\n%s", r.Exit, r.Out)
			}

			covered := map[uint64]string{
				w.cover(closed+"/.env", "env").ID:     closed + "/.env",
				w.cover(closed+"/tool.sh", "tool").ID: closed + "/tool.sh",
				w.cover(closed+"/.ssh", "ssh").ID:     closed + "/.ssh",
			}
			before = a.before(closed)
			r = w.run(closed, "sh", "-c", a.sh)
			if a.succeeded(closed, r, before) {
				t.Errorf("NOT REFUSED: exit %d\n%s", r.Exit, r.Out)
			}
			if a.goal == "free" && r.Exit != 0 {
				t.Errorf("exit %d\n%s", r.Exit, r.Out)
			}
			got := w.events()
			if ops(got) != a.ops {
				t.Errorf("reported %q, want %q\n%s", ops(got), a.ops, r.Out)
			}
			for _, e := range got {
				named(t, e, covered[e.Node])
			}
		})
	}
}

// named checks that an event says who asked for what.
func named(t *testing.T, e Event, path string) {
	t.Helper()
	if path == "" || !strings.HasPrefix(e.Path, path) || e.Rule == "" {
		t.Errorf("path %q and rule %q of node %d, want %q", e.Path, e.Rule, e.Node, path)
	}
	p := e.Peer
	if p.PID <= 1 || p.Start == 0 || p.UID != os.Getuid() || !filepath.IsAbs(p.Exe) || len(p.Argv) == 0 || e.TID <= 0 || e.Count != 1 || e.Time.IsZero() {
		t.Errorf("the caller is not named: %+v", e)
	}
}
