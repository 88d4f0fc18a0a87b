//go:build amd64 || arm64

package execgate

import (
	"os"
	"strconv"

	"golang.org/x/sys/unix"

	countersign "github.com/countersign/countersign"
	"github.com/countersign/countersign/internal/pollfd"
	"github.com/countersign/countersign/internal/procstat"
)

// follow reports the end of a decided command.
func (s *Supervisor) follow(pid int, end *ending, pins *pins, r *root) {
	_, start, _, statErr := procstat.Read(pid, make([]byte, 1024))
	fd, err := unix.PidfdOpen(pid, unix.PIDFD_NONBLOCK)
	go func() {
		o := countersign.Outcome{Status: "unknown"}
		if err == nil && statErr == nil {
			o = waitFor(fd, pid, start)
			s.tree.ended(r, s.cfg.Now())
		}
		pins.release()
		end.report(o)
	}()
}

// waitFor waits until the process has ended and reads how.
func waitFor(fd, pid int, start uint64) countersign.Outcome {
	f := os.NewFile(uintptr(fd), "pidfd")
	defer f.Close()
	unknown := countersign.Outcome{Status: "unknown"}
	raw, err := f.SyscallConn()
	if err != nil {
		return unknown
	}
	if err := raw.Read(readable); err != nil {
		return unknown
	}
	// A zombie shows its code in stat; once reaped, the pidfd keeps it (Linux 6.15).
	if _, now, code, err := procstat.Read(pid, make([]byte, 1024)); err == nil && now == start {
		return outcome(unix.WaitStatus(code))
	}
	info := unix.PidfdInfo{Mask: unix.PIDFD_INFO_EXIT}
	if err := unix.IoctlPidfdInfo(fd, &info); err == nil && info.Mask&unix.PIDFD_INFO_EXIT != 0 {
		return outcome(unix.WaitStatus(info.Exit_code))
	}
	return unknown
}

// readable reports whether a pidfd shows the end of its process.
func readable(fd uintptr) bool {
	got, err := pollfd.Events(int(fd), unix.POLLIN, pollfd.Now)
	return err != nil || got != 0
}

func outcome(st unix.WaitStatus) countersign.Outcome {
	if st.Signaled() {
		return countersign.Outcome{Status: statusKilled, Error: "signal " + strconv.Itoa(int(st.Signal())) + " (" + unix.SignalName(st.Signal()) + ")"}
	}
	code := st.ExitStatus()
	o := countersign.Outcome{Status: "ok", Exit: &code}
	if code != 0 {
		o.Status = statusFailed
	}
	return o
}
