package sandbox

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// attacks are what a process may try; nil means that it worked. They run bare,
// where they must work, and inside, where they must not.
var attacks = map[string]func(args []string) error{
	"echo":     echo,
	"read":     func(a []string) error { _, err := os.ReadFile(a[0]); return err },
	"list":     func(a []string) error { _, err := os.ReadDir(a[0]); return err },
	"write":    func(a []string) error { return os.WriteFile(a[0]+"/planted", []byte("x"), 0o600) },
	"rewrite":  rewrite,
	"chmod":    func(a []string) error { return os.Chmod(a[0], 0o666) }, // as it is
	"kill":     func(a []string) error { return unix.Kill(atoi(a[0]), 0) },
	"environ":  func(a []string) error { return readSome("/proc/" + a[0] + "/environ") },
	"root":     func(a []string) error { _, err := os.ReadDir("/proc/" + a[0] + "/root/"); return err },
	"memwrite": func(a []string) error { return openMem(atoi(a[0])) },
	"childmem": childMem,
	"ptrace":   ptraceChild,
	"vmwrite":  vmWriteChild,
	"dial":     func(a []string) error { return dial(a[0], a[1]) },
	"udp":      udp,
	"unshare":  func([]string) error { return unshareMount() },
	"setns":    setns,
	"mknod":    func(a []string) error { return unix.Mknod(a[0]+"/node", unix.S_IFCHR|0o600, 1<<8|3) },
	"mount":    func(a []string) error { return unix.Mount("x", a[0], "tmpfs", 0, "") },
	"umount":   func(a []string) error { return unix.Unmount(a[0], unix.MNT_DETACH) },
	"remount":  func(a []string) error { return unix.Mount("", a[0], "", unix.MS_REMOUNT|unix.MS_BIND, "") },
	"opentree": func(a []string) error { return openTree(a[0]) },
	"chroot":   func(a []string) error { return unix.Chroot(a[0]) },
	"vsock":    func([]string) error { return socket(unix.AF_VSOCK, unix.SOCK_STREAM, 0) },
	"packet":   func([]string) error { return socket(unix.AF_PACKET, unix.SOCK_RAW, 0) },
	"generic":  func([]string) error { return socket(unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_GENERIC) },
	"shm":      func(a []string) error { return shmAttach(atoi(a[0])) },
	"iouring":  func([]string) error { return ioUring() },
	"keyctl": func([]string) error {
		_, err := unix.KeyctlGetKeyringID(unix.KEY_SPEC_USER_SESSION_KEYRING, true)
		return err
	},
	"tiocsti":    func([]string) error { return typeInto(0) },
	"fd":         func(a []string) error { _, err := unix.FcntlInt(uintptr(atoi(a[0])), unix.F_GETFD, 0); return err },
	"handle":     byHandle,
	"corelimit":  coreLimit,
	"setuid":     func([]string) error { return noNewPrivs() },
	"caps":       bounding,
	"interfaces": interfaces,
	"swap":       swap,
	"watch":      watch,
	"linger":     linger,
	"usern":      func([]string) error { return unshareUser() },
}

func atoi(s string) int { n, _ := strconv.Atoi(s); return n }

func readSome(path string) error {
	b, err := os.ReadFile(path)
	if err == nil && len(b) == 0 {
		return errNot
	}
	return err
}

// rewrite writes a file's own content back into it.
func rewrite(a []string) error {
	b, err := os.ReadFile(a[0])
	if err != nil {
		return err
	}
	if i := bytes.IndexByte(b, '['); i >= 0 { // a choice: the chosen one
		b = b[i+1 : bytes.IndexByte(b, ']')]
	}
	f, err := os.OpenFile(a[0], os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.Write(b)
	return err
}

func openMem(pid int) error {
	f, err := os.OpenFile(fmt.Sprintf("/proc/%d/mem", pid), os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return f.Close()
}

// child starts a process of the attacker's own.
func child() (*exec.Cmd, error) {
	c := exec.Command("/bin/sleep", "20")
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return c, c.Start()
}

func onChild(f func(pid int) error) error {
	runtime.LockOSThread()
	c, err := child()
	if err != nil {
		return err
	}
	defer func() { _ = c.Process.Kill(); _ = c.Wait() }()
	return f(c.Process.Pid)
}

func childMem([]string) error { return onChild(openMem) }

func ptraceChild([]string) error {
	return onChild(func(pid int) error { return unix.PtraceSeize(pid) })
}

func vmWriteChild([]string) error {
	return onChild(func(pid int) error {
		maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", pid))
		if err != nil {
			return err
		}
		var at uintptr
		for line := range strings.Lines(string(maps)) {
			if strings.Contains(line, "[stack]") {
				_, err = fmt.Sscanf(line, "%x-", &at)
			}
		}
		if err != nil || at == 0 {
			return errNot
		}
		b := []byte{0}
		_, err = unix.ProcessVMWritev(pid, []unix.Iovec{{Base: &b[0], Len: 1}}, []unix.RemoteIovec{{Base: at, Len: 1}}, 0)
		return err
	})
}

func dial(network, addr string) error {
	c, err := net.DialTimeout(network, addr, 3*time.Second)
	if err != nil {
		return err
	}
	return c.Close()
}

func udp(a []string) error {
	c, err := net.Dial("udp", a[0])
	if err != nil {
		return err
	}
	defer c.Close()
	if _, err := c.Write([]byte("hello")); err != nil {
		return err
	}
	_ = c.SetReadDeadline(time.Now().Add(time.Second))
	_, err = c.Read(make([]byte, 10))
	return err
}

// unshareUser needs a process with one thread.
func unshareUser() error {
	c := exec.Command("/bin/true")
	c.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWUSER}
	return c.Run()
}

func unshareMount() error {
	return exec.Command("unshare", "-Urm", "mount", "-t", "tmpfs", "x", "/tmp").Run()
}

func setns(a []string) error {
	runtime.LockOSThread()
	fd, err := unix.Open("/proc/"+a[0]+"/ns/net", unix.O_RDONLY, 0)
	if err != nil {
		return err
	}
	return unix.Setns(fd, unix.CLONE_NEWNET)
}

func openTree(path string) error {
	_, err := unix.OpenTree(unix.AT_FDCWD, path, unix.OPEN_TREE_CLONE)
	return err
}

func socket(family, kind, proto int) error {
	fd, err := unix.Socket(family, kind, proto)
	if err != nil {
		return err
	}
	return unix.Close(fd)
}

func shmAttach(id int) error {
	_, err := unix.SysvShmAttach(id, 0, 0)
	return err
}

func ioUring() error {
	var params [120]byte
	_, _, e := unix.Syscall(unix.SYS_IO_URING_SETUP, 4, uintptr(unsafe.Pointer(&params)), 0)
	if e != 0 {
		return e
	}
	return nil
}

func byHandle(a []string) error {
	h, _, err := unix.NameToHandleAt(unix.AT_FDCWD, a[0], 0)
	if err != nil {
		return err
	}
	dir, err := unix.Open("/", unix.O_RDONLY, 0)
	if err != nil {
		return err
	}
	_, err = unix.OpenByHandleAt(dir, h, unix.O_RDONLY)
	return err
}

func coreLimit([]string) error {
	var l unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_CORE, &l); err != nil {
		return err
	}
	if l.Max <= 1 {
		return errNot
	}
	return nil
}

func noNewPrivs() error {
	n, err := unix.PrctlRetInt(unix.PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0)
	if err == nil && n == 1 {
		return errNot
	}
	return err
}

// bounding succeeds if a capability could ever come back.
func bounding([]string) error {
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) == 2 && strings.HasPrefix(f[0], "Cap") && strings.Trim(f[1], "0") != "" {
			return nil
		}
	}
	return errNot
}

// interfaces succeeds if there is more than loopback.
func interfaces([]string) error {
	names, err := os.ReadDir("/sys/class/net")
	if err == nil && len(names) < 2 {
		return errNot
	}
	return err
}

// swap exchanges two names for ever.
func swap(a []string) error {
	for {
		if err := unix.Renameat2(unix.AT_FDCWD, a[0], unix.AT_FDCWD, a[1], unix.RENAME_EXCHANGE); err != nil {
			return err
		}
	}
}

// typeInto puts a key press into a terminal's input.
func typeInto(fd uintptr) error {
	key := byte('x')
	if _, _, e := unix.Syscall(unix.SYS_IOCTL, fd, unix.TIOCSTI, uintptr(unsafe.Pointer(&key))); e != 0 {
		return e
	}
	return nil
}
