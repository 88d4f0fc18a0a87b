package host

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// The agent leads a session of its own, so the kernel drops the SIGTSTP that
// Ctrl-Z makes there (nobody inside could continue it). These functions make
// Ctrl-Z what it is bare: the whole job stops, agent and host, and the shell's
// fg continues both.

// stopTime is how long after a Ctrl-Z an agent that handles it itself may take
// to stop.
const stopTime = 2 * time.Second

// group returns the foreground process group of the agent's terminal, as this
// process numbers it, or 0.
func (l *loop) group() int {
	pgid, err := unix.IoctlGetInt(int(l.Master.Fd()), unix.TIOCGPGRP)
	if err != nil {
		return 0
	}
	return pgid
}

// ctrlZ looks for a Ctrl-Z in what was typed. If it stopped the job, it returns
// what is left for the agent, else all of it.
func (l *loop) ctrlZ(p []byte) []byte {
	i := bytes.IndexByte(p, 0x1a)
	if i < 0 && !bytes.HasPrefix(p, []byte("\x1b[122;5")) {
		return p
	}
	l.stopBy, l.calm = time.Now().Add(stopTime), 0
	tio, err := unix.IoctlGetTermios(int(l.Master.Fd()), unix.TCGETS)
	pgid := l.group()
	l.raw = err == nil && tio.Lflag&unix.ICANON == 0
	if i < 0 || err != nil || tio.Lflag&unix.ISIG == 0 || tio.Cc[unix.VSUSP] != 0x1a || pgid <= 1 {
		return p // the agent reads the key itself
	}
	if sid, err := unix.Getsid(pgid); err != nil || sid != pgid || minds(pgid) {
		return p // a shell inside does its own job control
	}
	unix.Kill(-pgid, unix.SIGSTOP) //nolint:errcheck // it may have ended
	l.stopped(pgid)
	return append(p[:i:i], p[i+1:]...)
}

// minds reports whether a process ignores or handles SIGTSTP: proc_pid_status(5).
func minds(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return true
	}
	for line := range strings.Lines(string(b)) {
		name, value, _ := strings.Cut(line, ":")
		if name != "SigIgn" && name != "SigCgt" {
			continue
		}
		mask, err := strconv.ParseUint(strings.TrimSpace(value), 16, 64)
		if err != nil || mask>>(unix.SIGTSTP-1)&1 == 1 {
			return true
		}
	}
	return false
}

// checkStopped looks whether the agent has stopped itself after a Ctrl-Z.
func (l *loop) checkStopped() {
	if l.stopBy.IsZero() {
		return
	}
	if time.Now().After(l.stopBy) {
		l.stopBy = time.Time{}
		return
	}
	pgid := l.group()
	if pgid <= 1 {
		return
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pgid))
	if err != nil {
		return
	}
	if sid, err := unix.Getsid(pgid); err != nil || sid != pgid {
		return
	}
	// proc_pid_stat(5): the state follows the command's closing parenthesis.
	if i := bytes.LastIndexByte(stat, ')'); i > 0 && len(stat) > i+2 && stat[i+2] == 'T' {
		l.stopped(pgid)
		return
	}
	if !l.givenUp() || minds(pgid) {
		l.calm = 0
		return
	}
	if l.calm++; l.calm > 1 {
		unix.Kill(-pgid, unix.SIGSTOP) //nolint:errcheck // it may have ended
		l.stopped(pgid)
	}
}

// givenUp reports whether an agent that reads keys itself has made its terminal
// a shell's since the Ctrl-Z: it sends itself the SIGTSTP that the kernel drops,
// and waits to be continued.
func (l *loop) givenUp() bool {
	tio, err := unix.IoctlGetTermios(int(l.Master.Fd()), unix.TCGETS)
	return err == nil && l.raw && tio.Lflag&unix.ICANON != 0
}

// stopped suspends the host beside its stopped agent, and continues both.
func (l *loop) stopped(pgid int) {
	l.stopBy = time.Time{}
	l.suspend()
	unix.Kill(-pgid, unix.SIGCONT) //nolint:errcheck // it may have ended
}
