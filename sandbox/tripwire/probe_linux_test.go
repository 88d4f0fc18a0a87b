package tripwire

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The probe is what an attacker writes when no tool does the call: it prints
// what it got, or fails with the errno.

const canary = "s3cr3t-CANARY-8472"

func probeMain(what string, args []string) int {
	err := probe(what, args)
	if err != nil {
		fmt.Println("errno:", err)
		return 1
	}
	return 0
}

func show(fd int) error {
	b := make([]byte, 256)
	n, err := unix.Read(fd, b)
	if err == nil {
		fmt.Printf("%s\n", b[:max(n, 0)])
	}
	return err
}

func probe(what string, args []string) error {
	path := args[0]
	switch what {
	case "openat2":
		fd, err := unix.Openat2(unix.AT_FDCWD, path, &unix.OpenHow{Flags: unix.O_RDONLY, Resolve: unix.RESOLVE_NO_MAGICLINKS})
		if err != nil {
			return err
		}
		return show(fd)
	case "opath":
		fd, err := unix.Open(path, unix.O_PATH, 0)
		if err != nil {
			return err
		}
		if _, err := unix.Read(fd, make([]byte, 1)); err != unix.EBADF {
			return fmt.Errorf("an O_PATH descriptor was read: %v", err)
		}
		if fd, err = unix.Open("/proc/self/fd/"+strconv.Itoa(fd), unix.O_RDONLY, 0); err != nil {
			return err
		}
		return show(fd)
	case "dirfd": // the name relative to a descriptor of its directory
		dir, err := unix.Open(args[1], unix.O_PATH, 0)
		if err != nil {
			return err
		}
		fd, err := unix.Openat(dir, args[2], unix.O_RDWR, 0)
		if err != nil {
			return err
		}
		return show(fd)
	case "sendfile":
		fd, err := unix.Open(path, unix.O_RDONLY, 0)
		if err != nil {
			return err
		}
		_, err = unix.Sendfile(1, fd, nil, 256)
		return err
	case "mmap":
		fd, err := unix.Open(path, unix.O_RDONLY, 0)
		if err != nil {
			return err
		}
		b, err := unix.Mmap(fd, 0, 23, unix.PROT_READ, unix.MAP_PRIVATE)
		if err == nil {
			fmt.Printf("%s\n", b)
		}
		return err
	case "io_uring":
		fd, err := uringOpen(path)
		if err != nil {
			return err
		}
		return show(fd)
	}
	return probeChange(what, path, args)
}

func probeChange(what, path string, args []string) error {
	switch what {
	case "truncate":
		return unix.Truncate(path, 0)
	case "setxattr":
		return unix.Setxattr(path, "user.x", []byte("1"), 0)
	case "bigxattr":
		return unix.Setxattr(path, "user.x", make([]byte, 65536), 0)
	case "exchange":
		return unix.Renameat2(unix.AT_FDCWD, path, unix.AT_FDCWD, args[1], unix.RENAME_EXCHANGE)
	case "fchmodat2":
		return unix.Fchmodat(unix.AT_FDCWD, path, 0o600, unix.AT_SYMLINK_NOFOLLOW)
	case "tmpfile":
		_, err := unix.Open(path, unix.O_TMPFILE|unix.O_RDWR, 0o600)
		if err == nil {
			fmt.Println(canary)
		}
		return err
	case "hide": // a process that makes itself undumpable hides /proc/PID/exe from its equals
		if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
			return err
		}
		return cat(path)
	case "thread": // the call comes from another thread than the first
		errs := make(chan error)
		go func() { runtime.LockOSThread(); errs <- cat(path) }()
		return <-errs
	case "nested":
		return nested(path, args[1])
	case "umount", "parent", "read":
		return uncover(what, path)
	case "until-closed":
		return untilClosed(path, args[1])
	case "alarmed":
		return alarmed(path, args[1])
	case "bench":
		n, _ := strconv.Atoi(args[1])
		start := time.Now()
		for range n {
			if fd, err := unix.Open(path, unix.O_RDONLY, 0); err == nil {
				unix.Close(fd)
			}
		}
		fmt.Println(time.Since(start).Nanoseconds())
		return nil
	case "hammer":
		return hammer(path, args[1:])
	}
	return unix.ENOSYS
}

func cat(path string) error {
	b, err := os.ReadFile(path)
	fmt.Printf("%s\n", b)
	return err
}

// nested goes on in a user and mount namespace of its own, with the right to
// mount there.
func nested(path, what string) error {
	cmd := exec.Command("/proc/self/exe", "__probe", what, path)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  unix.CLONE_NEWUSER | unix.CLONE_NEWNS,
		AmbientCaps: []uintptr{unix.CAP_SYS_ADMIN},
	}
	return cmd.Run()
}

// uncover tries to get the node out of the way, then reads.
func uncover(how, path string) error {
	switch how {
	case "umount":
		fmt.Println("umount:", unix.Unmount(path, unix.MNT_DETACH))
	case "parent":
		dir, _ := os.Getwd()
		if err := unix.Mount(dir, dir+"/sub", "", unix.MS_BIND, ""); err == nil {
			return cat(dir + "/sub/" + path)
		}
	}
	return cat(path)
}

// hammer opens path n times from k goroutines and says how many were let in and
// how many were refused with EACCES.
func hammer(path string, args []string) error {
	k, _ := strconv.Atoi(args[0])
	n, _ := strconv.Atoi(args[1])
	var in, out atomic.Int64
	var wg sync.WaitGroup
	for i := range k {
		wg.Go(func() {
			for j := i; j < n; j += k {
				fd, err := unix.Open(path, unix.O_RDONLY, 0)
				switch err {
				case nil:
					in.Add(1)
					unix.Close(fd)
				case unix.EACCES:
					out.Add(1)
				}
			}
		})
	}
	wg.Wait()
	fmt.Printf("%d %d\n", in.Load(), out.Load())
	return nil
}

// untilClosed opens path until the answer is ENOTCONN, and says how many opens
// were refused, aborted by the end of the server, cut off while a thread of the
// dying server was copying the request or its answer (the kernel says EIO, see
// fuse_dev_do_read), and answered otherwise, with the last such answer.
func untilClosed(path, openers string) error {
	k, _ := strconv.Atoi(openers)
	var refused, aborted, cut, other atomic.Int64
	var odd atomic.Value
	var wg sync.WaitGroup
	for range k {
		wg.Go(func() {
			for {
				_, err := unix.Open(path, unix.O_RDONLY, 0)
				switch err {
				case unix.EACCES:
					refused.Add(1)
				case unix.ECONNABORTED:
					aborted.Add(1)
				case unix.EIO:
					cut.Add(1)
				case unix.ENOTCONN:
					return
				default:
					other.Add(1)
					odd.Store(fmt.Sprint(err))
				}
			}
		})
	}
	wg.Wait()
	fmt.Println(refused.Load(), aborted.Load(), cut.Load(), other.Load(), odd.Load())
	return nil
}

// alarmed opens path n times under a rain of signals.
func alarmed(path, opens string) error {
	n, _ := strconv.Atoi(opens)
	var stop atomic.Bool
	pid := os.Getpid()
	runtime.LockOSThread()
	tid := unix.Gettid()
	go func() {
		for !stop.Load() {
			_ = unix.Tgkill(pid, tid, unix.SIGURG) // the runtime's own, harmless signal
		}
	}()
	in, out := 0, 0
	for range n {
		switch _, err := unix.Open(path, unix.O_RDONLY, 0); err {
		case nil:
			in++
		case unix.EACCES:
			out++
		}
	}
	stop.Store(true)
	fmt.Println(in, out)
	return nil
}

// uringOpen opens a file without any open system call (io_uring(7)).
func uringOpen(path string) (int, error) {
	var p [120]byte // struct io_uring_params
	ring, _, e := unix.Syscall(unix.SYS_IO_URING_SETUP, 4, uintptr(unsafe.Pointer(&p)), 0)
	if e != 0 {
		return 0, e
	}
	u32 := func(off int) uint32 { return *(*uint32)(unsafe.Pointer(&p[off])) }
	sq, err := unix.Mmap(int(ring), 0, 4096, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return 0, err
	}
	cq, err := unix.Mmap(int(ring), 0x8000000, 4096, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return 0, err
	}
	sqes, err := unix.Mmap(int(ring), 0x10000000, 4096, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return 0, err
	}
	name := append([]byte(path), 0)
	sqes[0] = 18 // IORING_OP_OPENAT
	*(*int32)(unsafe.Pointer(&sqes[4])) = unix.AT_FDCWD
	*(*uint64)(unsafe.Pointer(&sqes[16])) = uint64(uintptr(unsafe.Pointer(&name[0])))
	sqTail, sqArray := u32(40+4), u32(40+24)
	*(*uint32)(unsafe.Pointer(&sq[sqArray])) = 0
	atomic.AddUint32((*uint32)(unsafe.Pointer(&sq[sqTail])), 1)
	if _, _, e := unix.Syscall6(unix.SYS_IO_URING_ENTER, ring, 1, 1, 1, 0, 0); e != 0 {
		return 0, e
	}
	cqes := u32(80 + 20)
	res := *(*int32)(unsafe.Pointer(&cq[cqes+8]))
	if res < 0 {
		return 0, unix.Errno(-res)
	}
	return int(res), nil
}
