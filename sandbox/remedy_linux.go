package sandbox

import (
	"errors"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/countersign/countersign"
	"github.com/countersign/countersign/sandbox/apparmor"
)

// noNamespace explains a refused clone.
func noNamespace(err error) error {
	return &countersign.Error{
		Code: countersign.EPosture, Op: "make a user namespace", Err: err, Remedy: namespaceRemedy(err),
	}
}

// namespaceRemedy finds out who refuses user namespaces, and what mends it.
func namespaceRemedy(err error) string {
	switch {
	case sysctl("user/max_user_namespaces") == "0" || errors.Is(err, unix.ENOSPC):
		return "sudo sysctl -w user.max_user_namespaces=15000"
	case sysctl("kernel/unprivileged_userns_clone") == "0":
		return "sudo sysctl -w kernel.unprivileged_userns_clone=1"
	case sysctl("kernel/apparmor_restrict_unprivileged_userns") == "1":
		return apparmor.Remedy
	case inContainer():
		return "start the container with --security-opt seccomp=unconfined --security-opt apparmor=unconfined --security-opt systempaths=unconfined"
	}
	return "this kernel or its security module refuses user namespaces; run on a machine that allows them"
}

// remedyFor reads what mends a helper's fault out of its words.
func remedyFor(said string) string {
	switch {
	case said == "":
		return ""
	case strings.Contains(said, "hides part of /proc"):
		return procRemedy
	case strings.Contains(said, "/dev/fuse"):
		return fuseRemedy
	case strings.Contains(said, "operation not permitted"), strings.Contains(said, "permission denied"):
		return namespaceRemedy(nil)
	}
	return ""
}

const listenerRemedy = "start Countersign outside of what installed it; for WSL 2 that is a virtual machine with a Linux of its own"

const procRemedy = "start the container with --security-opt systempaths=unconfined"

const fuseRemedy = "sudo modprobe fuse && sudo chmod 666 /dev/fuse (in a container: --device /dev/fuse)"

func sysctl(name string) string {
	b, err := os.ReadFile("/proc/sys/" + name)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

func inContainer() bool {
	for _, p := range []string{"/.dockerenv", "/run/.containerenv"} {
		if _, err := os.Stat(p); err == nil {
			return true
		}
	}
	return false
}
