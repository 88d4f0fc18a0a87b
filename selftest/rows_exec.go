package selftest

// asked is a row that must not run a command that nobody approved.
func asked(name, tries, try string, args ...string) Row {
	return Row{
		Name: name, Door: Commands, Control: "AC-08", Invariant: 7, Tries: tries, Try: try, Args: args,
		Errno: []string{"EACCES"}, Records: []string{"exec.decided deny"},
	}
}

func commandRows() []Row {
	const tool = "{project}/tool"
	return []Row{
		asked("exec-script", "run a script of the project", "exec", tool),
		asked("exec-system-program", "run a program of the system", "exec", "/bin/sh", "-c", "exit 0"),
		asked("exec-relative", "run it by a relative name", "exec", "./tool"),
		asked("exec-descriptor", "execveat of a descriptor", "execfd", tool),
		asked("exec-memory", "execveat of a file in memory", "execmem"),
		asked("exec-tmp", "a copy in /tmp", "execcopy", tool, "/tmp/countersign-tool"),
		asked("exec-named-git", "a copy that is called git", "execcopy", tool, "{project}/bin/git"),
		asked("exec-link", "a symlink to it", "execlink", tool, "{project}/tool-link"),
		asked("exec-proc-exe", "this program again, by /proc/self/exe", "execself"),
		asked("exec-loader", "a program through the dynamic loader", "execloader").bare("a machine may have no loader at the usual places"),
		asked("exec-piped-shell", "feed a shell that was approved by a pipe", "pipeshell", "/bin/sh", tool).running("/bin/sh").errno(),
		asked("exec-approve-oneself", "call countersign to approve", "exec", "{exe}", "approve", "0000").bare("there is nothing to approve"),
		asked("exec-environment", "an approved command with a library of its own to load", "execenv", "LD_PRELOAD={project}/evil.so", "/bin/sh", "-c", "cat .env").bare("its library is not there"),
	}
}

// refused is a row whose call the filter must refuse, with one record.
func refused(door, name, tries, errno, call, try string, args ...string) Row {
	return Row{
		Name: name, Door: door, Control: "AC-08", Invariant: 5, Tries: tries, Try: try, Args: args,
		Errno: []string{errno}, Records: []string{"sandbox.denied " + call},
	}
}

const (
	privilege = "needs privilege without the sandbox as well"
	harmless  = "made so that it does nothing where it is not refused"
)

func processRows() []Row {
	p := func(name, tries, call, try string, args ...string) Row {
		return refused(Processes, name, tries, "EPERM", call, try, args...)
	}
	quiet := func(name, tries, try string, args ...string) Row {
		r := p(name, tries, "", try, args...)
		r.Errno, r.Records = nil, []string{}
		return r
	}
	return []Row{
		p("ptrace", "trace another process of its own", "ptrace", "ptrace"),
		p("process-vm-readv", "read another process's memory", "process_vm_readv", "vmread").bare("a tracer's right, which an ordinary user may lack"),
		p("process-vm-writev", "write another process's memory", "process_vm_writev", "vmwrite").bare("a tracer's right, which an ordinary user may lack"),
		p("pidfd-getfd", "take another process's descriptor", "pidfd_getfd", "getfd"),
		p("kcmp", "compare two processes' resources", "kcmp", "kcmp"),
		p("seccomp-listener", "a seccomp listener of its own", "seccomp", "listener"),
		p("unshare-user", "a user namespace by unshare", "unshare", "unshare", "user").bare("this program has threads"),
		p("unshare-mount", "a mount namespace by unshare", "unshare", "unshare", "mount").bare(privilege),
		p("unshare-time", "a time namespace", "unshare", "unshare", "time").bare(privilege),
		p("clone-user", "a user namespace by clone", "clone", "cloneuser"),
		p("setns", "enter a namespace", "setns", "setns").bare(privilege),
		p("terminal-injection", "type into a terminal (TIOCSTI)", "ioctl", "ioctl", "TIOCSTI").bare("there is no terminal here"),
		p("terminal-paste", "type by a console's selection (TIOCLINUX)", "ioctl", "ioctl", "TIOCLINUX").bare("there is no terminal here"),
		p("terminal-discipline", "change a terminal's discipline (TIOCSETD)", "ioctl", "ioctl", "TIOCSETD").bare("there is no terminal here"),
		quiet("clone3-user", "a user namespace by clone3", "clone3").errno("ENOSYS"),
		quiet("own-memory", "write its own memory through /proc/self/mem", "selfmem").errno("EROFS"),
		quiet("init-memory", "read the memory of process 1", "read", "/proc/1/mem").bare("process 1 is another there"),
		quiet("init-environment", "read the environment of process 1", "read", "/proc/1/environ").bare("process 1 is another there"),
		quiet("supervisor-signal", "signal the process that guards it", "kill", "{pid}", "{token}"),
		quiet("supervisor-environment", "read its environment", "marked", "/proc/{pid}/environ", "{environ}"),
		quiet("supervisor-command-line", "read its command line", "marked", "/proc/{pid}/cmdline", "{token}"),
		quiet("supervisor-root", "reach the host's root through it", "read", "/proc/{pid}/root{outside}/notes"),
		quiet("supervisor-memory", "open its memory", "memory", "{pid}", "{token}"),
		quiet("init-signal", "signal process 1, which started it", "signal", "1").errno("EPERM").needs(NeedSignals).bare("process 1 is another there"),
		quiet("shared-memory", "attach shared memory of the host", "shm", "{shm}"),
		quiet("leaked-descriptors", "find a descriptor that was left open", "descriptors").bare("there is no supervisor"),
		quiet("new-privileges", "gain privileges by a setuid program", "newprivs").bare("nothing forbids it there, and nothing is gained"),
		quiet("capabilities", "hold or regain a capability", "capabilities").bare(privilege),
		quiet("core-dump", "leave a core dump", "corelimit").bare("the limit may be zero there as well"),
	}
}

func mountRows() []Row {
	m := func(call, tries, try string, args ...string) Row {
		return refused(Kernel, call, tries, "EPERM", call, try, args...).bare(privilege)
	}
	return []Row{
		m("mount", "mount something over the view", "mount", "{project}"),
		{Name: "umount-tripwire", Door: Kernel, Control: "AC-05", Invariant: 5, Tries: "take the mount off a denied file", Try: "umount", Args: []string{"{project}/.env"}, Errno: []string{"EPERM"}, Records: []string{"sandbox.denied umount2"}, Bare: "nothing is mounted there"},
		m("move_mount", "move a mount", "syscall", "move_mount"),
		m("open_tree", "clone a mount", "syscall", "open_tree"),
		m("fsopen", "open a file system", "syscall", "fsopen"),
		m("fsconfig", "configure a file system", "syscall", "fsconfig"),
		m("fsmount", "mount an opened file system", "syscall", "fsmount"),
		m("fspick", "pick a mounted file system", "syscall", "fspick"),
		m("mount_setattr", "change a mount's attributes", "syscall", "mount_setattr"),
		m("pivot_root", "exchange the root", "syscall", "pivot_root"),
		m("chroot", "change the root", "syscall", "chroot"),
		m("open_by_handle_at", "open a file past every path", "syscall", "open_by_handle_at"),
		m("mknodat", "make a device node of a disk", "mknod", "{project}/disk"),
	}
}

func kernelRows() []Row {
	k := func(call, tries string) Row {
		return refused(Kernel, call, tries, "EPERM", call, "syscall", call).bare(harmless)
	}
	ring := func(call, tries string) Row { return k(call, tries).errno("ENOSYS") }
	return []Row{
		ring("io_uring_setup", "make a ring of requests that pass no filter"),
		ring("io_uring_enter", "hand requests to a ring"),
		ring("io_uring_register", "register with a ring"),
		k("bpf", "load a program into the kernel"),
		k("userfaultfd", "stop the kernel at a page of its own"),
		k("perf_event_open", "watch the machine's counters"),
		k("add_key", "add to the person's keyrings"),
		k("request_key", "ask the person's keyrings"),
		k("keyctl", "use the person's keyrings"),
		k("init_module", "load a kernel module"),
		k("finit_module", "load a kernel module by descriptor"),
		k("delete_module", "unload a kernel module"),
		k("kexec_load", "load another kernel"),
		k("reboot", "reboot the machine"),
		k("swapon", "add swap"),
		k("swapoff", "remove swap"),
		k("acct", "switch process accounting"),
		k("quotactl", "change quotas"),
		k("settimeofday", "set the clock"),
		k("clock_settime", "set a clock"),
		k("sethostname", "rename the machine"),
		k("setdomainname", "rename its domain"),
		k("syslog", "read the kernel's log"),
		k("vhangup", "hang up the terminal"),
		refused(Kernel, "foreign-call", "a call of the 32-bit architecture (int 0x80)", "ENOSYS", "foreign call 20 (architecture 0x40000003)", "int80").needs(NeedAMD64),
		refused(Kernel, "x32-call", "a call of the x32 architecture", "ENOSYS", "x32 call 39", "x32").needs(NeedAMD64).bare("few kernels have it"),
	}
}
