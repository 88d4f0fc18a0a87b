package sandbox

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/countersign/countersign"
	"github.com/countersign/countersign/internal/landlock"
	"github.com/countersign/countersign/sandbox/view"
)

// Probe says what this machine enforces, by trying it: one short process in
// namespaces of its own. The mechanisms that a policy can require are
// "exec-gate", "file-deny", "staging" and "network"; the others say what those
// rest on. exe is this binary, whose main calls Main first.
func Probe(ctx context.Context, exe string) countersign.Posture {
	p, err := probe(ctx, exe)
	if err != nil {
		return posture(view.Probed{Mount: err.Error(), Notify: notifyUnprobed(), Landlock: landlock.ABI()}, err)
	}
	return posture(p, nil)
}

func probe(ctx context.Context, exe string) (p view.Probed, err error) {
	cmd := exec.CommandContext(ctx, exe, view.CommandProbe)
	cmd.Env, cmd.Dir = []string{"GOTRACEBACK=single", "GOMAXPROCS=1"}, "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  unix.CLONE_NEWUSER | unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWNET | unix.CLONE_NEWIPC,
		AmbientCaps: helperCaps, UidMappings: idMap("/proc/self/uid_map", os.Getuid()), GidMappings: idMap("/proc/self/gid_map", os.Getgid()),
	}
	out, err := cmd.Output()
	if err == nil {
		err = json.Unmarshal(out, &p)
	}
	if err != nil {
		return p, fmt.Errorf("make namespaces: %w", err)
	}
	return p, nil
}

// notifyUnprobed asks the kernel without installing anything.
func notifyUnprobed() string {
	var sizes [3]uint16
	_, _, e := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_GET_NOTIF_SIZES, 0, uintptr(unsafe.Pointer(&sizes)))
	if e != 0 {
		return e.Error()
	}
	return ""
}

// posture turns what was found into what it means.
func posture(p view.Probed, clone error) countersign.Posture {
	space := firstOf(p.Mount, p.Proc, p.Loopback)
	spaceRemedy := ""
	if space != "" {
		spaceRemedy = namespaceRemedy(clone)
		if p.Mount == "" && p.Proc != "" {
			spaceRemedy = procRemedy
		}
	}
	gate, gateRemedy := execGate(p)
	if gate == "" && space != "" {
		gate, gateRemedy = "needs the namespaces", spaceRemedy
	}
	out := countersign.Posture{Tier: "A"}
	add := func(name, state, detail, remedy string) {
		out.Mechanisms = append(out.Mechanisms, countersign.Mechanism{Name: name, State: state, Detail: detail, Remedy: remedy})
	}
	add("namespaces", okUnless(space), orElse(space, "user, mount, pid, net, ipc and uts namespaces without privilege"), spaceRemedy)
	if gate == "" && !p.Killable {
		add("exec-gate", "partial", "a signal restarts a call that waits, so that it may be asked twice", "use Linux 5.19 or newer")
	} else {
		add("exec-gate", okUnless(gate), orElse(gate, "seccomp user notification, compared again at the exec stop"), gateRemedy)
	}
	switch {
	case space != "":
		add("file-deny", "missing", "needs the namespaces", spaceRemedy)
		add("staging", "partial", "a snapshot needs none; overlays need the namespaces", spaceRemedy)
	default:
		if p.Fuse == "" {
			add("file-deny", "ok", "tripwire nodes over FUSE", "")
		} else {
			add("file-deny", "partial", "denied files stay closed by masks, attempts on them are not seen: "+p.Fuse, fuseRemedy)
		}
		if p.Overlay == "" {
			add("staging", "ok", "snapshot and overlay", "")
		} else {
			add("staging", "partial", "snapshots only: "+p.Overlay, "sudo modprobe overlay (Linux 5.11 or newer)")
		}
	}
	add("network", okUnless(space), orElse(space, "an empty network namespace"), spaceRemedy)
	switch {
	case p.Landlock >= landlock.Signals:
		add("landlock", "ok", fmt.Sprintf("ABI %d: commands started apart cannot trace or signal each other", p.Landlock), "")
	case p.Landlock >= landlock.Min:
		add("landlock", "ok", fmt.Sprintf("ABI %d: commands started apart cannot trace each other, but signal; so no secret is lent to one", p.Landlock), "use Linux 6.12 or newer")
	default:
		add("landlock", "partial", "the agent can trace a shell that is started beside it", "use Linux 5.19 or newer, with landlock in the lsm= list of the kernel command line")
	}
	out.Tier = tier(p, space, gate)
	return out
}

func tier(p view.Probed, space, gate string) string {
	switch {
	case p.Notify != "":
		return "C"
	case space != "":
		return "B"
	case gate != "":
		return "C"
	case p.Fuse != "":
		return "A-masked"
	}
	return "A"
}

// execGate says why commands cannot be gated, if so, and what mends it.
func execGate(p view.Probed) (missing, remedy string) {
	scope := sysctl("kernel/yama/ptrace_scope")
	switch {
	case strings.Contains(p.Notify, "busy"):
		return "another seccomp listener stands above this process (a container's, WSL's)", listenerRemedy
	case p.Notify != "":
		return "no seccomp user notification: " + p.Notify, "use Linux 5.19 or newer, without a seccomp profile that forbids seccomp(2)"
	case scope == "2" || scope == "3":
		return "Yama forbids ptrace (ptrace_scope " + scope + "), the second check at the exec stop", "sudo sysctl -w kernel.yama.ptrace_scope=1"
	}
	return "", ""
}

func okUnless(missing string) string {
	if missing == "" {
		return "ok"
	}
	return "missing"
}

func orElse(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

func firstOf(all ...string) string {
	for _, s := range all {
		if s != "" {
			return s
		}
	}
	return ""
}
