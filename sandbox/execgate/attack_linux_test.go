//go:build amd64 || arm64

package execgate

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	countersign "github.com/countersign/countersign"
	"github.com/countersign/countersign/internal/flood"
)

// TestRefusedCalls is one triple a row: with the filter off the call does
// something else, with it on it is refused with the errno, and there is exactly
// one record.
func TestRefusedCalls(t *testing.T) {
	const notEPERM = 0
	type row struct {
		name   string
		nr     uint64
		args   []uint64
		errno  unix.Errno
		record string
		off    unix.Errno // what it gives without the filter; as an ordinary user EPERM tells nothing
		root   bool       // only root can tell the difference
	}
	rows := []row{
		{"mount", unix.SYS_MOUNT, []uint64{0, 0, 0, 0, 0}, unix.EPERM, "mount EPERM", unix.EFAULT, true},
		{"umount", unix.SYS_UMOUNT2, []uint64{0, 0xffff}, unix.EPERM, "umount2 EPERM", unix.EINVAL, false},
		{"move_mount", unix.SYS_MOVE_MOUNT, []uint64{0, 0, 0, 0, 0xffffffff}, unix.EPERM, "move_mount EPERM", unix.EINVAL, true},
		{"open_tree", unix.SYS_OPEN_TREE, []uint64{0, 0, 0xffffffff}, unix.EPERM, "open_tree EPERM", unix.EINVAL, false},
		{"fsopen", unix.SYS_FSOPEN, []uint64{0, 0}, unix.EPERM, "fsopen EPERM", unix.EFAULT, true},
		{"fsconfig", unix.SYS_FSCONFIG, []uint64{^uint64(0), 0}, unix.EPERM, "fsconfig EPERM", unix.EINVAL, false},
		{"fsmount", unix.SYS_FSMOUNT, []uint64{^uint64(0), 0xffff}, unix.EPERM, "fsmount EPERM", unix.EINVAL, true},
		{"fspick", unix.SYS_FSPICK, []uint64{0, 0, 0xffff}, unix.EPERM, "fspick EPERM", unix.EINVAL, true},
		{"mount_setattr", unix.SYS_MOUNT_SETATTR, []uint64{0, 0, 0xf0000000}, unix.EPERM, "mount_setattr EPERM", unix.EINVAL, false},
		{"chroot", unix.SYS_CHROOT, []uint64{0}, unix.EPERM, "chroot EPERM", unix.EFAULT, false},
		{"pivot_root", unix.SYS_PIVOT_ROOT, []uint64{0, 0}, unix.EPERM, "pivot_root EPERM", unix.EFAULT, true},
		{"ptrace", unix.SYS_PTRACE, []uint64{unix.PTRACE_ATTACH, 0}, unix.EPERM, "ptrace EPERM", unix.ESRCH, false},
		{"process_vm_readv", unix.SYS_PROCESS_VM_READV, []uint64{0, 0, 0, 0, 0, 1}, unix.EPERM, "process_vm_readv EPERM", unix.EINVAL, false},
		{"process_vm_writev", unix.SYS_PROCESS_VM_WRITEV, []uint64{0, 0, 0, 0, 0, 1}, unix.EPERM, "process_vm_writev EPERM", unix.EINVAL, false},
		{"pidfd_getfd", unix.SYS_PIDFD_GETFD, []uint64{0, 0, 1}, unix.EPERM, "pidfd_getfd EPERM", unix.EINVAL, false},
		{"kcmp", unix.SYS_KCMP, []uint64{0, 0, 0, 0, 0}, unix.EPERM, "kcmp EPERM", unix.ESRCH, false},
		{"bpf", unix.SYS_BPF, []uint64{0xffff, 0, 1 << 20}, unix.EPERM, "bpf EPERM", unix.E2BIG, false},
		{"userfaultfd", unix.SYS_USERFAULTFD, []uint64{0xffff0000}, unix.EPERM, "userfaultfd EPERM", unix.EINVAL, true},
		{"perf_event_open", unix.SYS_PERF_EVENT_OPEN, []uint64{0, 0, 0, 0, 0xffff}, unix.EPERM, "perf_event_open EPERM", unix.EINVAL, false},
		{"keyctl", unix.SYS_KEYCTL, []uint64{0xffff}, unix.EPERM, "keyctl EPERM", unix.EOPNOTSUPP, false},
		{"add_key", unix.SYS_ADD_KEY, []uint64{0, 0, 0, 0, 0}, unix.EPERM, "add_key EPERM", unix.EFAULT, false},
		{"setns", unix.SYS_SETNS, []uint64{^uint64(0), 0}, unix.EPERM, "setns EPERM", unix.EBADF, false},
		{"unshare user", unix.SYS_UNSHARE, []uint64{unix.CLONE_NEWUSER | 1}, unix.EPERM, "unshare EPERM", unix.EINVAL, false},
		{"unshare net", unix.SYS_UNSHARE, []uint64{unix.CLONE_NEWNET | 1}, unix.EPERM, "unshare EPERM", unix.EINVAL, false},
		{"clone user", unix.SYS_CLONE, []uint64{unix.CLONE_NEWUSER | unix.CLONE_FS}, unix.EPERM, "clone EPERM", unix.EINVAL, false},
		{"clone sharing its directory", unix.SYS_CLONE, []uint64{unix.CLONE_FS | unix.CLONE_SIGHAND}, unix.EPERM, "clone EPERM", unix.EINVAL, false},
		{"clone3", unix.SYS_CLONE3, []uint64{0, 0}, unix.ENOSYS, "", unix.EINVAL, false},
		{"io_uring_setup", unix.SYS_IO_URING_SETUP, []uint64{0, 0}, unix.ENOSYS, "io_uring_setup ENOSYS", unix.EFAULT, false},
		{"open_by_handle_at", unix.SYS_OPEN_BY_HANDLE_AT, []uint64{0, 0, 0}, unix.EPERM, "open_by_handle_at EPERM", unix.EFAULT, true},
		{"TIOCSTI", unix.SYS_IOCTL, []uint64{^uint64(0), unix.TIOCSTI}, unix.EPERM, "ioctl EPERM", unix.EBADF, false},
		{"TIOCSTI, high bits set", unix.SYS_IOCTL, []uint64{^uint64(0), 1<<32 | unix.TIOCSTI}, unix.EPERM, "ioctl EPERM", unix.EBADF, false},
		{"TIOCLINUX", unix.SYS_IOCTL, []uint64{^uint64(0), unix.TIOCLINUX}, unix.EPERM, "ioctl EPERM", unix.EBADF, false},
		{"vsock", unix.SYS_SOCKET, []uint64{unix.AF_VSOCK, unix.SOCK_RDM, 0}, unix.EACCES, "socket EACCES", unix.ESOCKTNOSUPPORT, false},
		{"AF_ALG", unix.SYS_SOCKET, []uint64{unix.AF_ALG, unix.SOCK_RDM, 0}, unix.EACCES, "socket EACCES", unix.ESOCKTNOSUPPORT, false},
		{"packet", unix.SYS_SOCKET, []uint64{unix.AF_PACKET, unix.SOCK_RDM, 0}, unix.EACCES, "socket EACCES", unix.ESOCKTNOSUPPORT, true},
		{"family with high bits", unix.SYS_SOCKET, []uint64{1<<32 | unix.AF_VSOCK, unix.SOCK_RDM, 0}, unix.EACCES, "socket EACCES", unix.ESOCKTNOSUPPORT, false},
		{"raw", unix.SYS_SOCKET, []uint64{unix.AF_INET, unix.SOCK_RAW, 0}, unix.EPERM, "socket EPERM", unix.EPROTONOSUPPORT, true},
		{"SCTP", unix.SYS_SOCKET, []uint64{unix.AF_INET, unix.SOCK_DGRAM, unix.IPPROTO_SCTP}, unix.EACCES, "socket EACCES", unix.EPROTONOSUPPORT, false},
		{"datagrams in sequence", unix.SYS_SOCKET, []uint64{unix.AF_INET6, unix.SOCK_DCCP, 0}, unix.EACCES, "socket EACCES", unix.ESOCKTNOSUPPORT, false},
		{"a pair of another family", unix.SYS_SOCKETPAIR, []uint64{unix.AF_TIPC, unix.SOCK_DGRAM, 0, 0}, unix.EACCES, "socketpair EACCES", unix.EFAULT, false},
		{"a call of a later kernel", unix.SYS_RSEQ_SLICE_YIELD + 1, nil, unix.ENOSYS, "", unix.ENOSYS, false},
		{"netlink audit", unix.SYS_SOCKET, []uint64{unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_KOBJECT_UEVENT}, unix.EACCES, "socket EACCES", notEPERM, false},
		{"mknodat", unix.SYS_MKNODAT, []uint64{^uint64(0), 0, unix.S_IFCHR, 0}, unix.EPERM, "mknodat EPERM", unix.EFAULT, true},
		{"reboot", unix.SYS_REBOOT, []uint64{0, 0, 0}, unix.EPERM, "reboot EPERM", unix.EINVAL, true},
		{"syslog", unix.SYS_SYSLOG, []uint64{0xffff}, unix.EPERM, "syslog EPERM", unix.EINVAL, true},
		{"quotactl", unix.SYS_QUOTACTL, []uint64{0xffffffff, 0}, unix.EPERM, "quotactl EPERM", unix.EINVAL, false},
		{"clock_settime", unix.SYS_CLOCK_SETTIME, []uint64{0xffff, 0}, unix.EPERM, "clock_settime EPERM", unix.EINVAL, false},
	}
	if runtime.GOARCH == "amd64" {
		rows = append(rows, row{"x32 getpid", 0x40000000 | 39, nil, unix.ENOSYS, "x32 call 39 ENOSYS", unix.ENOSYS, false})
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			argv := []string{self(t), "execgate-helper", "call", fmt.Sprint(r.nr)}
			for _, a := range r.args {
				argv = append(argv, fmt.Sprint(a))
			}
			if !r.root || os.Getuid() == 0 {
				g := newGated(t)
				g.off = true
				if code := g.run(argv...); code != int(r.off) && !(r.off == unix.EOPNOTSUPP || r.off == unix.ESOCKTNOSUPPORT) {
					t.Errorf("control: %v, want %v", unix.Errno(code), r.off)
				} else if code == int(r.errno) && r.name != "x32 getpid" && r.name != "a call of a later kernel" {
					t.Errorf("control: refused as with the filter")
				}
			}
			g := newGated(t)
			if code := g.run(argv...); code != int(r.errno) {
				t.Errorf("%v, want %v", unix.Errno(code), r.errno)
			}
			want := []string{r.record}
			if r.record == "" {
				want = nil
			}
			if d := cmp.Diff(want, g.judge.refused); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestCallsThatStayFree(t *testing.T) {
	for _, r := range [][]uint64{
		{unix.SYS_SOCKET, unix.AF_UNIX, unix.SOCK_STREAM, 0},
		{unix.SYS_SOCKET, unix.AF_INET6, unix.SOCK_DGRAM | unix.SOCK_CLOEXEC, 0},
		{unix.SYS_SOCKET, unix.AF_NETLINK, unix.SOCK_RAW, 0},
		{unix.SYS_UNSHARE, unix.CLONE_FILES},
		{unix.SYS_PRCTL, unix.PR_GET_DUMPABLE},
		{unix.SYS_PRCTL, unix.PR_SET_CHILD_SUBREAPER, 1},
		{unix.SYS_MEMFD_CREATE},
	} {
		argv := []string{self(t), "execgate-helper", "call"}
		for _, a := range r {
			argv = append(argv, fmt.Sprint(a))
		}
		g := newGated(t)
		code := g.run(argv...)
		if ok := code == 0 || r[0] == unix.SYS_MEMFD_CREATE && code == int(unix.EFAULT); !ok {
			t.Errorf("%v: %v", r, unix.Errno(code))
		}
		if len(g.judge.refused) > 0 {
			t.Errorf("%v: %v", r, g.judge.refused)
		}
	}
}

func TestForeignArchitecture(t *testing.T) {
	if runtime.GOARCH != "amd64" {
		t.Skip("int 0x80 is of x86")
	}
	good, _ := attacks(t)
	g := newGated(t)
	if code := g.run(good, "int80"); code != int(unix.ENOSYS) {
		t.Errorf("%v, want ENOSYS", unix.Errno(code))
	}
	if d := cmp.Diff([]string{"foreign call 20 (architecture 0x40000003) ENOSYS"}, g.judge.refused); d != "" {
		t.Error(d)
	}
}

func TestOwnListenerIsRefused(t *testing.T) {
	good, _ := attacks(t)
	g := newGated(t)
	if code := g.run(good, "listener"); code != int(unix.EPERM) {
		t.Errorf("%v, want EPERM", unix.Errno(code))
	}
	if d := cmp.Diff([]string{"seccomp EPERM"}, g.judge.refused); d != "" {
		t.Error(d)
	}
}

func TestConnects(t *testing.T) {
	for _, tt := range []struct {
		how, to string
		record  []string
	}{
		{"connect", "192.0.2.1:80", []string{"connect ECONNREFUSED tcp 192.0.2.1 80"}},
		{"connect", "[2001:db8::1]:443", []string{"connect ECONNREFUSED tcp 2001:db8::1 443"}},
		{"udp", "192.0.2.1:53", []string{"sendto ECONNREFUSED udp 192.0.2.1 53"}},
		{"msg", "192.0.2.1:53", []string{"sendmsg ECONNREFUSED udp 192.0.2.1 53"}},
		{"udp", "127.0.0.1:9", nil},
		{"connect", "127.0.0.1:1", nil},
		{"connect", "[::1]:1", nil},
		{"connect", "[::ffff:127.0.0.1]:1", nil},
		{"connect", "[::ffff:192.0.2.7]:1", []string{"connect ECONNREFUSED tcp 192.0.2.7 1"}},
	} {
		t.Run(tt.how+" "+tt.to, func(t *testing.T) {
			g := newGated(t)
			g.run(self(t), "execgate-helper", tt.how, tt.to)
			if d := cmp.Diff(tt.record, g.judge.refused); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestFloodIsFoldedExactly(t *testing.T) {
	g := newGated(t)
	g.run(self(t), "execgate-helper", "flood", "1000")
	if g.judge.total != 1000 || len(g.judge.refused) > flood.Usual().First+10 {
		t.Errorf("%d attempts in %d records, want 1000 in about %d", g.judge.total, len(g.judge.refused), flood.Usual().First+1)
	}
}

func TestExecShapes(t *testing.T) {
	good, _ := attacks(t)
	exe := func(a countersign.Action) string { return filepath.Base(a.Exec.Exe.Path) }
	tests := []struct {
		name string
		argv []string
		exes string // of what was asked, in order
		code int
	}{
		{"execveat of a descriptor", []string{good, "fdexec", "/usr/bin/true"}, "attack true", 0},
		{"a file without a name", []string{good, "memfd", "/usr/bin/true"}, "attack memfd:hidden (deleted)", 0},
		{"from a thread", []string{good, "threadexec", "/usr/bin/true"}, "attack true", 0},
		{"arguments at the end of a mapping", []string{good, "badargs"}, "attack true", 0},
		{"vfork storm", []string{good, "vforkstorm", "20", "/usr/bin/true"}, "attack" + strings.Repeat(" true", 20), 0},
		{"/proc/self/exe", []string{"/bin/sh", "-c", "exec /proc/self/exe -c true"}, "SHELL SHELL", 0},
		{"by the loader", []string{"/bin/sh", "-c", "exec " + loader() + " /usr/bin/true"}, "SHELL LOADER", 0},
		{"a missing file", []string{"/bin/sh", "-c", "/nosuch 2>/dev/null; test $? = 127"}, "SHELL", 0},
		{"a file that may not run", []string{"/bin/sh", "-c", "/etc/passwd 2>/dev/null; test $? = 126"}, "SHELL", 0},
		{"a directory", []string{"/bin/sh", "-c", "/etc 2>/dev/null; test $? = 126"}, "SHELL", 0},
	}
	real := func(p string) string { r, _ := filepath.EvalSymlinks(p); return filepath.Base(r) }
	names := strings.NewReplacer("SHELL", real("/bin/sh"), "LOADER", real(loader()))
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			g := newGated(t)
			if code := g.run(tt.argv...); code != tt.code {
				t.Errorf("exit %d, want %d", code, tt.code)
			}
			var got []string
			for _, a := range g.judge.seen {
				got = append(got, exe(a))
			}
			if d := cmp.Diff(names.Replace(tt.exes), strings.Join(got, " ")); d != "" {
				t.Error(d)
			}
			if len(g.judge.started) != len(g.judge.seen) {
				t.Errorf("%d started of %d: %v", len(g.judge.started), len(g.judge.seen), g.judge.ends)
			}
		})
	}
}

func loader() string {
	if runtime.GOARCH == "arm64" {
		return "/lib/ld-linux-aarch64.so.1"
	}
	return "/lib64/ld-linux-x86-64.so.2"
}

// TestLineage: what is covered and what asks again. The launched shell is the
// agent; what it starts is decided.
func TestLineage(t *testing.T) {
	good, _ := attacks(t)
	tests := []struct {
		name   string
		script string
		want   string // "d" decided, "c" covered for each exec after the launch
	}{
		{"children of a decided command", "sh -c '/usr/bin/true; /usr/bin/true; :'", "dcc"},
		{"two commands", "/usr/bin/true; /usr/bin/true; :", "dd"},
		{"deep", `sh -c 'sh -c "sh -c /usr/bin/true; :"; :'; :`, "dccc"},
		{"an orphan loses its cover", good + " orphan /usr/bin/true; sleep 0.2; :", "ddd"},
		{"an adopted orphan of an unseen program has none", good + " adopt; :", "dccd"},
		{"a re-exec in place keeps it", "sh -c 'exec sh -c \"exec /usr/bin/true\"'; :", "dcc"},
		{"a program from a pipe gives none", "echo '/usr/bin/true; :' | sh; :", "dd"},
		{"a program from a pipe below a command", "sh -c \"echo '/usr/bin/true; :' | sh; :\"; :", "dcd"},
		{"-s", "echo '/usr/bin/true; :' | sh -s; :", "dd"},
		{"standard input by its name", "echo '/usr/bin/true; :' | sh /dev/stdin; :", "dd"},
		{"standard input by its number", "echo '/usr/bin/true; :' | sh /proc/self/fd/0; :", "dd"},
		{"another descriptor", "echo '/usr/bin/true; :' | { sh /dev/fd/7 7<&0 </dev/null; :; }; :", "dd"},
		{"a named pipe", "mkfifo p; (echo '/usr/bin/true; :' > p) & sh ./p; :", "ddd"},
		{"arguments from a pipe", "echo 1 | xargs /usr/bin/true; :", "dd"},
		{"a file given to a shell is a program", "sh ./script; :", "dc"},
		{"subshells", "sh -c '(/usr/bin/true; :) ; ( ( /usr/bin/true; : ) ; : )'; :", "dcc"},
		{"background of a live command", "sh -c '/usr/bin/true & wait; :'; :", "dc"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			g := newGated(t)
			g.cfg.Writable = func(string) bool { return false }
			g.file("script", "/usr/bin/true\n:\n", 0o644)
			g.cfg.Launch = Launch{Argv: []string{"/bin/sh", "-c", tt.script}}
			g.run(g.cfg.Launch.Argv...)
			got, outlived := "", false
			for _, a := range g.judge.seen[1:] {
				if filepath.Base(a.Exec.Exe.Path) == "sleep" {
					continue
				}
				if a.Exec.Root != nil {
					got += "c"
				} else {
					got += "d"
				}
				left := tt.name == "an orphan loses its cover" || tt.name == "an adopted orphan of an unseen program has none"
				if (a.Exec.Outlived != "") && (!left || a.Exec.Root != nil) {
					t.Errorf("%q is said to have outlived its command: %s", a.Exec.Argv, a.Exec.Outlived)
				}
				outlived = outlived || a.Exec.Outlived != ""
			}
			want := tt.want
			if tt.name == "an orphan loses its cover" {
				want = "dd"
			}
			if strings.Contains(tt.name, "orphan") && !outlived {
				t.Error("nothing says that it outlived its command")
			}
			if got != want {
				t.Errorf("%s, want %s: %q", got, want, g.judge.argvs())
			}
			if !g.judge.seen[0].Exec.Launch {
				t.Error("the launch was not one")
			}
		})
	}
}

// TestHeirsHaveNoCover: the agent forks, and then becomes a command that is
// approved. What it forked before is its own, whoever is its parent now.
func TestHeirsHaveNoCover(t *testing.T) {
	good, _ := attacks(t)
	for _, how := range []string{"1", "2", "reaper"} { // a child, its orphan, its orphan adopted
		t.Run(how, func(t *testing.T) {
			g := newGated(t)
			g.cfg.Launch = Launch{Argv: []string{good, "heir", how, "/usr/bin/true"}}
			g.run(g.cfg.Launch.Argv...)
			seen := map[string]bool{}
			for _, a := range g.judge.seen {
				name := filepath.Base(a.Exec.Exe.Path)
				seen[name] = true
				if a.Exec.Root != nil {
					t.Errorf("%s runs under the approval of another", name)
				}
			}
			if !seen["sleep"] || !seen["true"] {
				t.Errorf("the attack did not run: %q", g.judge.argvs())
			}
		})
	}
}

// TestFilesWithoutEndAreNotRead: hashing a sparse terabyte would hold the
// session's threads for hours.
func TestFilesWithoutEndAreNotRead(t *testing.T) {
	g := newGated(t)
	big := g.file("big", "#!/bin/sh\n:\n", 0o755)
	if err := os.Truncate(big, 1<<40); err != nil {
		t.Skip(err)
	}
	g.cfg.Launch = Launch{Argv: []string{"/bin/sh", "-c", "./big; exit $?"}}
	began := time.Now()
	if code := g.run(g.cfg.Launch.Argv...); code != 126 {
		t.Errorf("exit %d, want 126", code)
	}
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("it was read for %v", took)
	}
	if d := cmp.Diff([]string{"execve: its content cannot be read: file too large EACCES"}, g.judge.refused); d != "" {
		t.Error(d)
	}
}

// TestAgentOnceMore: an agent that starts itself, under whatever name, is the
// agent: what it starts is asked. What it becomes in its own place is not.
func TestAgentOnceMore(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	good, _ := attacks(t)
	program, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	const spawn = "execgate-helper spawn 1 "
	tests := []struct{ name, launch, want string }{ // what is seen after the launch, d: decided, c: covered
		{"a server of its own", "SELF " + spawn + "SELF " + spawn + "/usr/bin/true", "test:d true:d"},
		{"a copy", "SELF " + spawn + "COPY " + spawn + "/usr/bin/true", "copy:d true:d"},
		{"below an approved command", "SELF " + spawn + "/usr/bin/env SELF " + spawn + "/usr/bin/true", "env:d test:c true:d"},
		{"in its own place", "SELF " + spawn + "SELF execgate-helper exec /usr/bin/env env /usr/bin/true", "test:d env:c true:c"},
		{"what that starts", "SELF " + spawn + "SELF execgate-helper exec /usr/bin/sh sh ./script", "test:d sh:c true:c"},
		{"a script", "/bin/sh ./twice", "sh:d true:d true:d"},
		{"another script", "/bin/sh ./other", "sh:d true:c"},
		{"a shell is no agent", "/bin/sh -c /bin/sh${IFS}-c${IFS}/usr/bin/true;:", "sh:d true:c"},
		{"what it forked before", good + " heir 1 " + good + " heir 1 /usr/bin/true", "attack:d sleep:c sleep:d true:d"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			g := newGated(t)
			g.cfg.Writable = func(string) bool { return false }
			g.file("script", "/usr/bin/true; :", 0o644)
			g.file("twice", "if [ -z \"$ONCE\" ]; then ONCE=1 sh ./twice; fi; /usr/bin/true; :", 0o644)
			g.file("other", "sh ./script; :", 0o644)
			g.file("copy", string(program), 0o755)
			launch := strings.NewReplacer("SELF", self, "COPY", filepath.Join(g.dir, "copy")).Replace(tt.launch)
			g.cfg.Launch = Launch{Argv: strings.Fields(launch)}
			g.run(g.cfg.Launch.Argv...)
			var got []string
			for _, a := range g.judge.seen[1:] {
				how := ":d"
				if a.Exec.Root != nil {
					how = ":c"
				}
				name := strings.Replace(filepath.Base(a.Exec.Argv[0]), filepath.Base(self), "test", 1)
				got = append(got, name+how)
			}
			if strings.Contains(tt.launch, "heir") {
				slices.Sort(got) // they run side by side
			}
			if s := strings.Join(got, " "); s != tt.want {
				t.Errorf("%s, want %s: %q", s, tt.want, g.judge.argvs())
			}
		})
	}
}

func TestAdoptionBySiblingIsRefused(t *testing.T) {
	good, _ := attacks(t)
	g := newGated(t)
	if code := g.run(good, "sibling", "/usr/bin/true"); code != int(unix.EPERM) {
		t.Errorf("%v, want EPERM", unix.Errno(code))
	}
	if d := cmp.Diff([]string{"clone EPERM"}, g.judge.refused); d != "" {
		t.Error(d)
	}
}

func TestDeathDuringTheHold(t *testing.T) {
	for _, sig := range []unix.Signal{unix.SIGKILL, unix.SIGTERM} {
		t.Run(sig.String(), func(t *testing.T) {
			g := newGated(t)
			ended := make(chan bool, 1)
			g.cfg.Launch = Launch{Argv: []string{"/bin/sh", "-c", "/usr/bin/sleep 100; :"}}
			g.judge.decide = func(ctx context.Context, a countersign.Action) Answer {
				if a.Exec.Launch {
					return Answer{}
				}
				if err := unix.Kill(a.Peer.PID, sig); err != nil {
					t.Error(err)
				}
				if sig == unix.SIGTERM {
					return Answer{} // let go: the new image dies of the signal
				}
				select {
				case <-ctx.Done():
					ended <- true
				case <-time.After(10 * time.Second):
					ended <- false
				}
				return Answer{Errno: unix.EACCES}
			}
			g.run(g.cfg.Launch.Argv...)
			if sig == unix.SIGKILL && !<-ended {
				t.Error("the asking went on for a dead process")
			}
		})
	}
}

func TestSupervisorsEndClosesEveryCall(t *testing.T) {
	g := newGated(t)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	g.ctx = ctx
	g.judge.decide = func(_ context.Context, a countersign.Action) Answer {
		cancel() // this one was decided; nothing after it is
		return Answer{}
	}
	if code := g.run("/bin/sh", "-c", "/usr/bin/true || exit 7"); code != 7 {
		t.Errorf("exit %d, want 7", code)
	}
	if got := g.judge.argvs(); len(got) != 1 {
		t.Errorf("asked: %q", got)
	}
}

func TestDeadSupervisorClosesEveryCall(t *testing.T) {
	g := newGated(t)
	g.deaf = true
	if code := g.run("/usr/bin/true"); code != 126 || !strings.Contains(g.out.String(), unix.ENOSYS.Error()) {
		t.Errorf("exit %d, want 126 by ENOSYS: %s", code, g.out.String())
	}
}

func TestTwoThreadsExecAtOnce(t *testing.T) {
	good, _ := attacks(t)
	for range rounds(200) / 10 {
		g := newGated(t)
		if code := g.run(good, "twoexec", "/usr/bin/true"); code != 0 {
			t.Fatalf("exit %d: %v %v", code, g.judge.argvs(), g.judge.ends)
		}
	}
}

func TestOutcomeOfDecidedCommands(t *testing.T) {
	g := newGated(t)
	g.cfg.Launch = Launch{Argv: []string{"/bin/sh", "-c", "sh -c 'exit 5'; /usr/bin/true; sh -c 'kill -9 $$'; :"}}
	g.run(g.cfg.Launch.Argv...)
	want := []string{"sh -c exit 5: failed ", "/usr/bin/true: ok ", "sh -c kill -9 $$: killed signal 9 (SIGKILL)"}
	ends := func() (out []string) {
		g.judge.mu.Lock()
		defer g.judge.mu.Unlock()
		for _, e := range g.judge.ends {
			if slices.Contains(want, e) {
				out = append(out, e)
			}
		}
		slices.Sort(out) // each is reported by whoever followed it
		return out
	}
	slices.Sort(want)
	for end := time.Now().Add(5 * time.Second); len(ends()) < len(want) && time.Now().Before(end); {
		runtime.Gosched()
	}
	if d := cmp.Diff(want, ends()); d != "" {
		t.Error(d, g.judge.ends)
	}
}

// TestAsOrdinaryUser runs the package's tests again as nobody.
func TestAsOrdinaryUser(t *testing.T) {
	if os.Getuid() != 0 || os.Getenv("EXECGATE_NESTED") != "" {
		t.Skip("this is an ordinary user already")
	}
	dir, err := os.MkdirTemp("/var/tmp", "execgate")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	b, err := os.ReadFile(self(t))
	if err != nil {
		t.Fatal(err)
	}
	bin := filepath.Join(dir, "test")
	if err := os.WriteFile(bin, b, 0o755); err != nil {
		t.Fatal(err)
	}
	src, _ := os.ReadFile("testdata/attack.c")
	_ = os.MkdirAll(filepath.Join(dir, "testdata"), 0o755)
	_ = os.WriteFile(filepath.Join(dir, "testdata/attack.c"), src, 0o644)
	for _, p := range []string{dir} {
		if err := os.Chown(p, 65534, 65534); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(p, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command(bin, "-test.v", "-test.run", "Refused|Free|Foreign|Own|Connects|Shapes|Lineage|Adoption|Races/(argv|rename)|TestEvery|Dead")
	cmd.Dir = dir
	cmd.Env = []string{"TMPDIR=" + dir, "PATH=/usr/bin:/bin", "EXECGATE_NESTED=1"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: credential(65534)}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("%d rows passed", strings.Count(string(out), "--- PASS"))
}
