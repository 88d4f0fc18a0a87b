package selftest

func socketRows() []Row {
	s := func(name, tries, errno, family, kind, proto string) Row {
		return refused(Network, name, tries, errno, "socket", "socket", family, kind, proto).control("AC-06", 5).bare("not every kernel has it, or not for everybody")
	}
	return []Row{
		s("vsock", "a socket to the hypervisor", "EACCES", "40", "1", "0"),
		s("packet-socket", "a socket of raw frames", "EACCES", "17", "3", "0"),
		s("raw-socket", "a socket of raw packets", "EPERM", "2", "3", "1"),
		s("crypto-socket", "a socket of the kernel's ciphers", "EACCES", "38", "5", "0"),
		s("bluetooth", "a Bluetooth socket", "EACCES", "31", "1", "0"),
		s("netlink-audit", "the audit system's socket", "EACCES", "16", "3", "9"),
		s("netlink-generic", "the generic netlink socket", "EACCES", "16", "3", "16"),
		s("netlink-uevent", "the device events' socket", "EACCES", "16", "3", "15"),
		s("sctp", "a protocol that no build needs", "EACCES", "2", "1", "132"),
		refused(Network, "tipc-pair", "a pair of sockets of another family", "EACCES", "socketpair", "socketpair", "30").control("AC-06", 5).bare("not every kernel has it"),
	}
}

const noNetwork = "there is no network where tests run, or nobody at a documentation address"

func networkRows() []Row {
	out := func(name, tries, host, try string, args ...string) Row {
		return Row{
			Name: name, Door: Network, Control: "AC-06", Invariant: 9, Tries: tries, Try: try, Args: args,
			Errno: []string{"ECONNREFUSED"}, Records: []string{"net.denied " + host}, Bare: noNetwork,
		}
	}
	in := func(name, tries, try string, args ...string) Row {
		return Row{Name: name, Door: Network, Control: "AC-06", Invariant: 5, Tries: tries, Try: try, Args: args, Records: []string{}}
	}
	return []Row{
		out("connect-tcp", "connect to a host", "192.0.2.1", "tcp", "192.0.2.1", "80"),
		out("connect-tcp6", "connect over IPv6", "2001:db8::1", "tcp", "2001:db8::1", "443"),
		out("connect-mapped", "an IPv4 address written as IPv6", "192.0.2.2", "tcp", "::ffff:192.0.2.2", "80"),
		out("connect-ssh", "connect to port 22", "192.0.2.3", "tcp", "192.0.2.3", "22"),
		out("metadata", "the cloud's metadata", "169.254.169.254", "tcp", "169.254.169.254", "80"),
		out("metadata6", "the cloud's metadata over IPv6", "fd00:ec2::254", "tcp", "fd00:ec2::254", "80"),
		out("private-network", "a private network", "10.0.0.1", "tcp", "10.0.0.1", "443"),
		out("connect-udp", "connect a datagram socket", "192.0.2.4", "udp", "192.0.2.4", "9"),
		out("datagram", "a datagram without connect", "192.0.2.7", "sendto", "192.0.2.7", "9"),
		out("datagram-message", "a datagram by sendmsg", "192.0.2.8", "sendmsg", "192.0.2.8", "9"),
		out("datagrams", "datagrams by sendmmsg", "192.0.2.11", "sendmmsg", "192.0.2.11", "9"),
		out("fast-open", "TCP fast open, without connect", "192.0.2.9", "fastopen", "192.0.2.9", "80"),
		out("mptcp", "multipath TCP", "192.0.2.10", "mptcp", "192.0.2.10", "80"),
		out("dns", "leak by a name that is resolved", "selftest.example.com", "dns", "selftest.example.com").errno(),
		in("host-loopback", "a port of the host's loopback", "dial", "tcp", "{tcp}").errno("ECONNREFUSED"),
		in("host-datagram", "a datagram to the host's loopback", "echo", "{udp}"),
		in("host-socket", "a socket of the host by its path (as an ssh-agent's is)", "dial", "unix", "{unix}"),
		in("host-abstract-socket", "a socket of the host without a path", "dial", "unix", "{abstract}").errno("ECONNREFUSED", "EPERM"),
		in("docker-socket", "the socket of a container engine", "dial", "unix", "/run/docker.sock").bare("not every machine has one"),
		in("bus-socket", "the system's message bus", "dial", "unix", "/run/dbus/system_bus_socket").bare("not every machine has one"),
		in("interfaces", "find an interface beside the loopback", "interfaces").bare("a machine may have none"),
		in("environment", "find an agent's socket or a key in the environment", "environ").bare("there may be none"),
		in("pass-descriptor", "pass a denied file's descriptor to a process of its own", "passfd", "{project}/.env").errno("EACCES").records("file.denied read").control("AC-05", 2).of(".env"),
		{
			Name: "proxy-metadata", Door: Network, Control: "AC-06", Invariant: 9, Tries: "reach the cloud's metadata through the proxy of allowed hosts",
			Try: "proxy", Args: []string{"169.254.169.254:80"}, Needs: NeedProxy, Records: []string{"net.denied 169.254.169.254"}, Bare: "there is no proxy",
		},
	}
}

func modelRows() []Row {
	const none = "there is no gateway"
	m := func(name, tries, try string, args ...string) Row {
		return Row{
			Name: name, Door: Model, Control: "AC-06", Invariant: 6, Tries: tries, Try: try, Args: args, Needs: NeedModel, Bare: none,
			Unrecorded: "refusals of whoever has no token are counted together",
		}
	}
	return []Row{
		m("gateway-without-token", "ask the model's gateway without a token", "gateway", ""),
		m("gateway-foreign-token", "with a token that is not the session's", "gateway", "cs-0000000000000000000000000000000000000000"),
		m("gateway-connect", "use it as a proxy to anywhere", "gatewayconnect", "169.254.169.254:80"),
	}
}

func controlRows() []Row {
	c := func(name, tries, try string, args ...string) Row {
		return Row{Name: name, Door: Controls, Control: "AC-14", Invariant: 5, Tries: tries, Try: try, Args: args, Records: []string{}}
	}
	const own = "there is no other session's there"
	return []Row{
		c("ledger-read", "read the ledger", "list", "{state}/ledger/segments"),
		c("ledger-write", "write beside the ledger", "plant-file", "{state}/ledger"),
		c("ledger-socket", "reach the ledger's process", "dial", "unix", "{runtime}/ledger.sock"),
		c("desk-socket", "reach the session's own desk, to approve itself", "dial", "unix", "{runtime}/{session}/control.sock").control("AC-10", 7).bare(own),
		c("sessions", "look at the sessions' state", "list", "{state}/sessions"),
		c("digest-key", "read the key of keyed digests", "read", "{state}/digest.key").bare("what it holds is no canary"),
		c("staging-base", "write the staging layer from behind", "plant-file", "{state}/sessions/{session}").bare(own),
		c("user-policy", "write the user's policy", "plant-file", "{config}").control("AC-12", 2),
		c("gateway-settings", "read the gateway's settings and keys", "list", "{config}").control("AC-06", 6),
		c("binary", "overwrite the program itself", "append", "{exe}").control("AC-22", 5),
		c("binary-directory", "write beside the program", "plant-file", "{bin}").control("AC-22", 5),
		c("system-programs", "write to the system's programs", "plant-file", "/usr/bin").control("AC-22", 5).bare(privilege),
		c("system-settings", "write to /etc", "plant-file", "/etc").bare(privilege),
		c("kernel-settings", "write a kernel setting", "openwrite", "/proc/sys/kernel/core_pattern").bare(privilege),
		c("kernel-symbols", "read the kernel's symbols", "read", "/proc/kallsyms").bare("what it holds is no canary"),
		c("debug-files", "look at the kernel's debug files", "list", "/sys/kernel/debug").bare(privilege),
		c("shell-start-up", "write the shell's start-up file", "append", "{home}/.bash_profile"),
		c("shell-start-up-rename", "move a start-up file in", "renameover", "{home}/made", "{home}/.profile"),
		c("password-file", "read the machine's password file", "read", "/etc/shadow").bare(privilege),
		c("disk", "open a disk", "read", "/dev/sda").bare(privilege),
		c("machine-memory", "open the machine's memory", "read", "/dev/mem").bare(privilege),
	}
}
