package view

import (
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/countersign/countersign/internal/osthread"
)

// nsd has two faces: its main thread stays in a mount namespace where the host
// is below /host, and makes trees; another lives in the view, and attaches them.
type nsd struct {
	plan  Plan
	ctl   *Conn
	src   source
	b     *builder
	view  *osthread.Thread
	exe   int // this binary, as a detached tree
	stage int // the view's root as seen from outside the view, writable
	init  int
	pins  map[uint64]pinned
	pin   uint64
	texts map[string]laidText
	dirs  map[string]bool // directories that are tripwires
	built chan error      // how the view's thread got on
}

const stageDir = "/stage"

func runNSD() error {
	plan, err := readPlan(fdPlan)
	if err != nil {
		return err
	}
	ctl, err := newConn(fdControl)
	if err != nil {
		return err
	}
	d := &nsd{plan: plan, ctl: ctl, pins: map[uint64]pinned{}, texts: map[string]laidText{}, dirs: map[string]bool{}}
	if err := d.start(); err != nil {
		return err
	}
	err = d.serve()
	if failed := <-d.built; failed != nil {
		return failed
	}
	return err
}

func (d *nsd) start() error {
	if err := d.backstage(); err != nil {
		return err
	}
	fuse, err := d.fuse()
	if err != nil {
		return err
	}
	if d.src, err = newSource("", fuse); err != nil {
		return err
	}
	d.view, d.built = osthread.New(), make(chan error, 1)
	entered := d.view.Begin(func() error { return d.enter(fuse) })
	go func() { // beside it the trees of the tripwires are made
		err := <-entered
		if err == nil {
			err = d.ctl.Send(Message{Op: OpUp, PID: d.init, Notes: d.b.notes})
		}
		d.built <- err
		if err != nil {
			d.ctl.Close() // and so serve ends
		}
	}()
	return nil
}

// backstage turns this mount namespace into one where the host is below /host
// and everything of ours is beside it.
func (d *nsd) backstage() error {
	var err error
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	if d.exe, err = ownBinary(); err != nil {
		return err
	}
	at, err := someDir()
	if err != nil {
		return err
	}
	if err := unix.Mount("backstage", at, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=700"); err != nil {
		return fmt.Errorf("mount a tmpfs in the new namespace: %w", err)
	}
	for _, name := range []string{"/host", "/fuse", stageDir, "/view"} {
		if err := os.Mkdir(at+name, 0o755); err != nil {
			return err
		}
	}
	if err := unix.PivotRoot(at, at+"/host"); err != nil {
		return fmt.Errorf("pivot_root: %w", err)
	}
	if err := os.Chdir("/"); err != nil {
		return err
	}
	if err := unix.Mount("view", "/view", "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=755"); err != nil {
		return fmt.Errorf("mount the view's root: %w", err)
	}
	return d.empties()
}

// ownBinary clones the mount of this process's executable.
func ownBinary() (int, error) {
	fd, err := unix.Open("/proc/self/exe", unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("open own binary: %w", err)
	}
	defer unix.Close(fd)
	return treeOf(fd, "", sealed)
}

// someDir finds a directory to mount on for a moment; it is there again after
// the pivot.
func someDir() (string, error) {
	for _, p := range []string{"/tmp", "/run", "/mnt", "/var", "/usr"} {
		if st, err := os.Lstat(p); err == nil && st.IsDir() {
			return p, nil
		}
	}
	return "", errors.New("no directory to mount on: /tmp, /run, /mnt, /var, /usr")
}

// empties makes what masks are made of.
func (d *nsd) empties() error {
	var err error
	if d.stage, err = openDir("/view"); err != nil {
		return err
	}
	f, err := os.OpenFile(stageDir+"/nofile", os.O_CREATE|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	f.Close()
	if err := os.Chmod(stageDir+"/nofile", 0); err != nil {
		return err
	}
	return os.Mkdir(stageDir+"/nodir", 0)
}

// enter runs on the view's thread: it makes the view's mount namespace, builds
// in it, starts init there and drops the rest.
func (d *nsd) enter(fuse bool) error {
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("unshare the mount namespace: %w", err)
	}
	src, err := newSource("", fuse)
	if err != nil {
		return err
	}
	root, err := openDir("/view")
	if err != nil {
		return err
	}
	d.b = &builder{source: src, plan: d.plan, root: root, outside: d.stage, stage: stageDir}
	if err = d.b.build(); err == nil {
		err = d.pivot()
	}
	if err != nil {
		d.b = nil // nothing is laid in it
		return err
	}
	d.b.source = d.src // the host is gone from this thread's namespace
	return nil
}

// pivot makes the view this thread's root, starts init below it and, when init
// has mounted its /proc (for which the kernel wants to see one), lets the old
// root go.
func (d *nsd) pivot() error {
	if err := d.b.attach(d.exe, "/.init", false); err != nil {
		return err
	}
	if err := d.b.mkdirs("/.old"); err != nil {
		return err
	}
	if err := unix.PivotRoot("/view", "/view/.old"); err != nil {
		return fmt.Errorf("pivot_root into the view: %w", err)
	}
	if err := os.Chdir("/"); err != nil {
		return err
	}
	if err := d.startInit(); err != nil {
		return err
	}
	for _, p := range []string{"/.old", "/.init"} {
		if err := unix.Unmount(p, unix.MNT_DETACH); err != nil {
			return fmt.Errorf("detach %s: %w", p, err)
		}
	}
	if err := unix.Rmdir("/.old"); err != nil {
		return fmt.Errorf("remove /.old: %w", err)
	}
	if err := unix.Unlink("/.init"); err != nil {
		return fmt.Errorf("remove /.init: %w", err)
	}
	return unix.MountSetattr(d.b.root, "", unix.AT_EMPTY_PATH, &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY})
}

// startInit starts pid 1 from this thread, so that it lives in the view, dies
// with the thread, and has neither a bounding set nor new privileges to come.
func (d *nsd) startInit() error {
	if err := shed(); err != nil {
		return err
	}
	null, err := unix.Open("/dev/null", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(null)
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
		return err
	}
	pid, err := syscall.ForkExec("/.init", []string{"countersign", CommandInit}, &syscall.ProcAttr{
		Dir: "/", Env: []string{"GOTRACEBACK=single", "GOMAXPROCS=2"},
		Files: []uintptr{uintptr(null), 2, 2, fdInit, uintptr(p[1]), fdPlan},
		Sys: &syscall.SysProcAttr{
			Cloneflags: unix.CLONE_NEWPID | unix.CLONE_NEWNET | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS | unix.CLONE_NEWCGROUP,
			Pdeathsig:  syscall.SIGKILL,
		},
	})
	unix.Close(p[1])
	defer unix.Close(p[0])
	if err != nil {
		return fmt.Errorf("start init: %w", err)
	}
	unix.Close(fdInit)
	d.init = pid
	go func() { // nothing to do here without it
		var ws unix.WaitStatus
		for {
			if _, err := unix.Wait4(pid, &ws, 0, nil); err != unix.EINTR {
				os.Exit(0)
			}
		}
	}()
	var b [1]byte
	for {
		n, err := unix.Read(p[0], b[:])
		if err == unix.EINTR {
			continue
		}
		if n != 1 {
			return errors.New("init ended before it was ready")
		}
		return nil
	}
}

// shed empties this thread's bounding set and forbids new privileges; what is
// started from it keeps the ambient capabilities until it drops them.
func shed() error {
	for c := uintptr(0); c <= unix.CAP_LAST_CAP; c++ {
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0); err != nil && err != unix.EINVAL {
			return fmt.Errorf("drop capability %d: %w", c, err)
		}
	}
	// The user's session keyring stays outside.
	_, _, e := unix.Syscall(unix.SYS_KEYCTL, unix.KEYCTL_JOIN_SESSION_KEYRING, 0, 0)
	if e != 0 && e != unix.ENOSYS && e != unix.EPERM {
		return fmt.Errorf("join an empty keyring: %w", e)
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("no_new_privs: %w", err)
	}
	return nil
}

// serve does what the session asks, one request after the other.
func (d *nsd) serve() error {
	for {
		m, files, err := d.ctl.Receive()
		if errors.Is(err, io.EOF) || errors.Is(err, unix.ECONNRESET) {
			return nil
		}
		if err != nil {
			return err
		}
		answer := Message{Op: m.Op, ID: m.ID}
		if err := d.handle(m, files, &answer); err != nil {
			answer.Fault = err.Error()
		}
		CloseAll(files)
		if err := d.ctl.Send(answer); err != nil {
			return err
		}
	}
}
