package view

import (
	"encoding/json"
	"os"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/countersign/countersign/internal/landlock"
	"github.com/countersign/countersign/internal/loopdoors"
	"github.com/countersign/countersign/sandbox/seccomp"
)

// Probed is what a try of each mechanism gave: an empty string, or why not.
type Probed struct {
	Mount    string `json:"mount"`
	Proc     string `json:"proc"`
	Loopback string `json:"loopback"`
	Fuse     string `json:"fuse"`
	Overlay  string `json:"overlay"`
	Notify   string `json:"notify"`
	Killable bool   `json:"killable"` // a notified call waits through signals (Linux 5.19)
	Landlock int    `json:"landlock"` // ABI, 0: none
}

// runProbe tries, in namespaces of its own, what the sandbox rests on, and
// prints what it found. It leaves nothing behind.
func runProbe() error {
	var p Probed
	p.Mount = text(probeMount())
	if p.Mount == "" {
		p.Proc = text(dropped(freshFS("proc", quiet|unix.MOUNT_ATTR_NOEXEC)))
		p.Fuse = text(probeFuse())
		p.Overlay = text(probeOverlay())
	}
	p.Loopback = text(loopdoors.Up())
	p.Landlock = landlock.ABI()
	p.Notify, p.Killable = probeNotify()
	return json.NewEncoder(os.Stdout).Encode(p)
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func probeMount() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return os.NewSyscallError("make mounts private", err)
	}
	at, err := someDir()
	if err != nil {
		return err
	}
	if err := unix.Mount("probe", at, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=700"); err != nil {
		return os.NewSyscallError("mount tmpfs", err)
	}
	return os.Chdir(at)
}

// dropped drops a mount that was only tried.
func dropped(fd int, err error) error {
	if err == nil {
		err = unix.Close(fd)
	}
	return err
}

func probeFuse() error {
	fd, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: "/dev/fuse", Err: err}
	}
	defer unix.Close(fd)
	return dropped(fuseTree(fd))
}

func probeOverlay() error {
	var fds [3]int
	for i := range fds {
		name := strconv.Itoa(i)
		if err := os.Mkdir(name, 0o700); err != nil {
			return err
		}
		var err error
		if fds[i], err = openDir(name); err != nil {
			return err
		}
		defer unix.Close(fds[i])
	}
	return dropped(overlay("/proc", fds[:1], fds[1], fds[2]))
}

// probeNotify installs the filter on this thread, as its last act.
func probeNotify() (string, bool) {
	prog, err := seccomp.Program(nil)
	if err != nil {
		return err.Error(), false
	}
	_, killable, err := seccomp.Install(prog)
	return text(err), killable
}
