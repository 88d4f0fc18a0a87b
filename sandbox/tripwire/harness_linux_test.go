package tripwire

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The harness is the smallest sandbox in which a node can lie over a file: a
// child in new user and mount namespaces mounts the file system, hands its
// descriptor out, binds nodes, and runs commands that hold no capability and
// live in a pid namespace of their own.

func TestMain(m *testing.M) {
	if Main(os.Args[1:]) {
		return
	}
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case "__ns":
			nsMain(os.Args[2])
		case "__user":
			userMain(os.Args[2], os.Args[3:])
		case "__confined":
			confinedMain(os.Args[2:])
		case "__probe":
			os.Exit(probeMain(os.Args[2], os.Args[3:]))
		}
	}
	os.Exit(m.Run())
}

type order1 struct {
	Op   string // bind, overlay, open, run
	Node uint64
	Path string
	Data string
	Argv []string
	Env  []string
}

type result struct {
	Out  string
	Exit int
	Err  string
}

func check(err error, what string) {
	if err != nil {
		fmt.Fprintf(os.Stderr, "harness: %s: %v\n", what, err)
		os.Exit(70)
	}
}

func nsMain(mnt string) {
	check(unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""), "private")
	fd, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	check(err, "open /dev/fuse")
	opts := fmt.Sprintf("fd=%d,rootmode=40000,user_id=%d,group_id=%d,allow_other", fd, os.Getuid(), os.Getgid())
	check(unix.Mount("tripwire", mnt, "fuse.tripwire", unix.MS_NOSUID|unix.MS_NODEV, opts), "mount fuse")
	check(unix.Sendmsg(3, []byte{1}, unix.UnixRights(fd), nil, 0), "send")
	unix.Close(fd)
	unix.Close(3)
	in, out := json.NewDecoder(os.Stdin), json.NewEncoder(os.Stdout)
	for {
		var o order1
		if in.Decode(&o) != nil {
			os.Exit(0)
		}
		check(out.Encode(obeyOrder(o, mnt)), "answer")
	}
}

var background chan result

func obeyOrder(o order1, mnt string) (r result) {
	var err error
	node := filepath.Join(mnt, strconv.FormatUint(o.Node, 10))
	switch o.Op {
	case "bind":
		err = lay(node, o.Path)
	case "overlay":
		err = unix.Mount("overlay", o.Path, "overlay", 0, o.Data)
	case "open":
		_, err = os.Open(node)
	case "start": // a run that is waited for later
		background = make(chan result, 1)
		o.Op = "run"
		go func() { background <- obeyOrder(o, mnt) }()
	case "wait":
		return <-background
	case "run":
		cmd := exec.Command("/proc/self/exe", append([]string{"__confined"}, o.Argv...)...)
		cmd.Env, cmd.Dir = o.Env, o.Path
		cmd.SysProcAttr = &syscall.SysProcAttr{
			Cloneflags:  unix.CLONE_NEWPID | unix.CLONE_NEWNS,
			AmbientCaps: []uintptr{unix.CAP_SYS_ADMIN, unix.CAP_SETPCAP},
		}
		b, rerr := cmd.CombinedOutput()
		r.Out = string(b)
		if cmd.ProcessState == nil {
			err = rerr
		} else {
			r.Exit = cmd.ProcessState.ExitCode()
		}
	}
	if err != nil {
		r.Err = err.Error()
	}
	return r
}

// lay binds a node over a path; neither is followed if it is a symlink.
func lay(node, path string) error {
	tree, err := unix.OpenTree(unix.AT_FDCWD, node, unix.OPEN_TREE_CLONE|unix.AT_SYMLINK_NOFOLLOW)
	if err != nil {
		return err
	}
	defer unix.Close(tree)
	at, err := unix.Open(path, unix.O_PATH|unix.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	defer unix.Close(at)
	return unix.MoveMount(tree, "", at, "", unix.MOVE_MOUNT_F_EMPTY_PATH|unix.MOVE_MOUNT_T_EMPTY_PATH)
}

// confinedMain gives up everything and becomes the command.
func confinedMain(argv []string) {
	check(unix.Mount("proc", "/proc", "proc", 0, ""), "mount proc")
	for c := uintptr(0); c <= unix.CAP_LAST_CAP; c++ {
		check(unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0), "drop")
	}
	check(unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0), "ambient")
	check(unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs")
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var caps [2]unix.CapUserData
	check(unix.Capset(&hdr, &caps[0]), "capset")
	path, err := exec.LookPath(argv[0])
	check(err, "look up")
	check(syscall.Exec(path, argv, os.Environ()), "exec")
}

// world is one sandbox with its tripwire server.
type world struct {
	t     testing.TB
	dir   string
	mnt   string // where the nodes are
	maker int    // process that mounts
	srv   *Server
	enc   *json.Encoder
	dec   *json.Decoder
	next  uint64

	mu  sync.Mutex
	got []Event
}

// exe is this test binary where every user can run it.
func exe(t testing.TB) string {
	p, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func needFuse(t testing.TB) {
	f, err := os.OpenFile("/dev/fuse", os.O_RDWR, 0)
	if err != nil {
		t.Skipf("NOT PROTECTED HERE: /dev/fuse is closed to uid %d (%v): no tripwire, attempts would not be seen", os.Getuid(), err)
	}
	f.Close()
}

func newWorld(t testing.TB) *world {
	t.Helper()
	needFuse(t)
	w := &world{t: t, dir: t.TempDir(), next: 1000}
	mnt := t.TempDir()
	w.mnt = mnt
	p, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	theirs := os.NewFile(uintptr(p[1]), "ns")
	cmd := exec.Command(exe(t), "__ns", mnt)
	cmd.ExtraFiles = []*os.File{theirs}
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  unix.CLONE_NEWUSER | unix.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: os.Getuid(), HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: os.Getgid(), HostID: os.Getgid(), Size: 1}},
		AmbientCaps: []uintptr{unix.CAP_SYS_ADMIN, unix.CAP_SETPCAP, unix.CAP_DAC_OVERRIDE, unix.CAP_FOWNER, unix.CAP_CHOWN}, // an overlay takes the last three
	}
	stdin, _ := cmd.StdinPipe()
	stdout, _ := cmd.StdoutPipe()
	if err := cmd.Start(); err != nil {
		t.Skipf("NOT PROTECTED HERE: no user namespaces: %v", err)
	}
	theirs.Close()
	w.maker = cmd.Process.Pid
	w.enc, w.dec = json.NewEncoder(stdin), json.NewDecoder(stdout)
	fuse := receiveFD(t, p[0])
	w.srv, err = Start(context.Background(), exe(t), fuse, w.see)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stdin.Close()
		_ = cmd.Wait()
		w.srv.Close()
	})
	return w
}

func receiveFD(t testing.TB, sock int) *os.File {
	t.Helper()
	defer unix.Close(sock)
	oob := make([]byte, 64)
	_, n, _, _, err := unix.Recvmsg(sock, make([]byte, 1), oob, unix.MSG_CMSG_CLOEXEC)
	if err != nil || n == 0 {
		t.Fatalf("no descriptor from the namespace: %v", err)
	}
	cm, err := unix.ParseSocketControlMessage(oob[:n])
	if err != nil {
		t.Fatal(err)
	}
	fds, err := unix.ParseUnixRights(&cm[0])
	if err != nil {
		t.Fatal(err)
	}
	return os.NewFile(uintptr(fds[0]), "fuse")
}

func (w *world) see(e Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.got = append(w.got, e)
}

func (w *world) order(o order1) result {
	w.t.Helper()
	if err := w.enc.Encode(o); err != nil {
		w.t.Fatal(err)
	}
	var r result
	if err := w.dec.Decode(&r); err != nil {
		w.t.Fatal(err)
	}
	return r
}

// cover lays a node over path.
func (w *world) cover(path, rule string) Node {
	w.t.Helper()
	a, err := Attrs(path)
	if err != nil {
		w.t.Fatal(err)
	}
	w.next++
	n := Node{ID: w.next, Path: path, Rule: rule, Attr: a}
	if err := w.srv.Add(n); err != nil {
		w.t.Fatal(err)
	}
	if r := w.order(order1{Op: "bind", Node: n.ID, Path: path}); r.Err != "" {
		w.t.Fatal(r.Err)
	}
	return n
}

func (w *world) run(dir string, argv ...string) result {
	w.t.Helper()
	r := w.order(order1{Op: "run", Path: dir, Argv: argv, Env: commandEnv(w.t, dir)})
	if r.Err != "" || r.Exit == 70 {
		w.t.Fatalf("%q: %s %s", argv, r.Err, r.Out)
	}
	return r
}

func commandEnv(t testing.TB, dir string) []string {
	return []string{
		"PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", "HOME=" + dir, "LC_ALL=C", "PROBE=" + exe(t),
		"GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@example.com", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@example.com",
		"GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=safe.directory", "GIT_CONFIG_VALUE_0=*",
	}
}

// events returns what was reported since the last call. It opens a fresh node
// first and waits for that event: whatever was refused before is then here.
func (w *world) events() []Event {
	w.t.Helper()
	w.next++
	last := w.next
	if err := w.srv.Add(Node{ID: last, Path: "/sentinel"}); err != nil {
		w.t.Fatal(err)
	}
	w.order(order1{Op: "open", Node: last})
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		w.mu.Lock()
		if n := len(w.got); n > 0 && w.got[n-1].Node == last {
			got := w.got[:n-1]
			w.got = nil
			w.mu.Unlock()
			return got
		}
		w.mu.Unlock()
	}
	w.t.Fatal("the sentinel's event never came")
	return nil
}

func ops(es []Event) string {
	var s []string
	for _, e := range es {
		s = append(s, e.Op)
	}
	return strings.Join(s, " ")
}

func write(t testing.TB, path, content string, mode os.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

// ordinary is the user that the tests run as once more.
const ordinary = 65534

// TestAsOrdinaryUser runs every test of this package once more without root.
func TestAsOrdinaryUser(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("is one already")
	}
	if _, err := os.Stat("/dev/fuse"); err != nil {
		t.Skipf("NOT PROTECTED HERE: %v", err)
	}
	dir, err := os.MkdirTemp("", "tripwire-user")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	bin := filepath.Join(dir, "tripwire.test")
	copyFile(t, exe(t), bin)
	for _, err := range []error{os.Chmod(dir, 0o755), os.Mkdir(dir+"/dev", 0o755), os.Mkdir(dir+"/tmp", 0o700), os.Chown(dir+"/tmp", ordinary, ordinary)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	args := []string{"__user", dir + "/dev", bin, "-test.v", "-test.run=^Test"}
	if testing.Short() {
		args = append(args, "-test.short")
	}
	cmd := exec.Command(bin, args...)
	cmd.Dir = dir + "/tmp"
	cmd.Env = append(os.Environ(), "TMPDIR="+dir+"/tmp", "HOME="+dir+"/tmp")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNS}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		t.Errorf("%v\n%s", err, out.String())
	}
	if strings.Contains(out.String(), "NOT PROTECTED HERE") {
		t.Errorf("something was skipped as an ordinary user:\n%s", out.String())
	}
}

// userMain becomes the ordinary user and runs argv. In a mount namespace of its
// own it sees a /dev/fuse that is open to everybody, as on most machines; the
// machine's own, which other tests may be looking at, stays as it is.
func userMain(dev string, argv []string) {
	check(unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""), "private")
	check(unix.Mount("tmpfs", dev, "tmpfs", 0, ""), "tmpfs")
	check(unix.Mknod(dev+"/fuse", unix.S_IFCHR|0o666, int(unix.Mkdev(10, 229))), "mknod")
	check(unix.Chmod(dev+"/fuse", 0o666), "chmod")
	check(unix.Mount(dev+"/fuse", "/dev/fuse", "", unix.MS_BIND, ""), "bind")
	check(syscall.Setgroups(nil), "setgroups")
	check(syscall.Setgid(ordinary), "setgid")
	check(syscall.Setuid(ordinary), "setuid")
	check(syscall.Exec(argv[0], argv, os.Environ()), "exec")
}

func copyFile(t testing.TB, from, to string) {
	t.Helper()
	src, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	dst, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	defer dst.Close()
	if _, err := io.Copy(dst, src); err != nil {
		t.Fatal(err)
	}
}
