package seatbelt

import "fmt"

// Operations. A deny names the same ones as the allow that it limits: for a part of
// an operation that is allowed by its own name, a deny of the whole does not count.
var (
	reading = []string{"file-read*"}
	moving  = []string{"file-write-unlink"} // which is a move, seen from where it begins
	using   = []string{"file-read*", "file-write*"}
)

// processes: an exec is a matter of the list, at no depth of an approval.
func (s *Session) processes() []form {
	exec, inside := []string{"process-exec*"}, call("target", word("same-sandbox"))
	out := []form{s.deny("exec", exec)}
	may := each("literal", allNames(s.Programs))
	if s.Shims != "" {
		may = append(may, each("subpath", names(s.Shims))...)
	}
	if len(may) > 0 {
		out = append(out, allow(exec, may...))
	}
	return append(out,
		allow([]string{"process-fork"}),
		s.deny("signal", []string{"signal"}), allow([]string{"signal"}, inside),
		s.deny("process-info", []string{"process-info*"}), allow([]string{"process-info*"}, inside),
		allow([]string{"sysctl-read"}, append(each("sysctl-name", sysctls), each("sysctl-name-prefix", sysctlFamilies)...)...),
		allow([]string{"ipc-posix-sem"}),
	)
}

// What programs ask of the machine when they start. kern.procargs2, the arguments and
// environments of other processes, is not among it.
var (
	sysctls = []string{
		"kern.argmax", "kern.boottime", "kern.hostname", "kern.maxfilesperproc", "kern.ngroups", "kern.osproductversion", "kern.osrelease",
		"kern.ostype", "kern.osvariant_status", "kern.osversion", "kern.secure_kernel", "kern.usrstack64", "kern.version",
		"security.mac.lockdown_mode_state", "sysctl.proc_cputype", "vm.loadavg",
	}
	sysctlFamilies = []string{"hw.", "machdep.cpu."}
)

// services: users' and groups' names, and where the temporary directory is. The
// system's log is not among them, so that no program can write lines like ours there.
func (s *Session) services() []form {
	lookup := []string{"mach-lookup"}
	return []form{
		allow(lookup, each("global-name", []string{
			"com.apple.bsd.dirhelper", "com.apple.system.notification_center",
			"com.apple.system.opendirectoryd.libinfo", "com.apple.system.opendirectoryd.membership",
		})...),
		s.deny("keychain", lookup, each("global-name", []string{"com.apple.SecurityServer", "com.apple.secd", "com.apple.securityd.xpc"})...),
		s.deny("launch-services", lookup, each("global-name", []string{
			"com.apple.CoreServices.coreservicesd", "com.apple.coreservices.launchservicesd", "com.apple.lsd.mapdb", "com.apple.lsd.modifydb", "com.apple.xpc.smd",
		})...),
		s.deny("apple-events", lookup, each("global-name", []string{"com.apple.coreservices.appleevents"})...),
		s.deny("desktop", lookup, each("global-name", []string{
			"com.apple.dock.server", "com.apple.pasteboard.1", "com.apple.tccd", "com.apple.tccd.system", "com.apple.windowserver.active",
		})...),
		s.deny("network-services", lookup, each("global-name", []string{
			"com.apple.SystemConfiguration.configd", "com.apple.dnssd.service", "com.apple.nsurlsessiond", "com.apple.ocspd", "com.apple.trustd", "com.apple.trustd.agent",
		})...),
		s.deny("log", lookup, each("global-name", []string{"com.apple.logd", "com.apple.system.logger"})...),
		s.deny("launch-services", []string{"lsopen"}),
		s.deny("apple-events", []string{"appleevent-send"}),
	}
}

func (s *Session) network() []form {
	out := []form{s.deny("network", []string{"network*"})}
	for _, port := range []int{s.Gateway, s.Door} {
		if port != 0 {
			out = append(out, allow([]string{"network-outbound"}, list(word("remote"), word("ip"), text(fmt.Sprintf("localhost:%d", port)))))
		}
	}
	return out
}

// work: what the agent may read and change. Of terminals it has its own and those it
// makes: what is written to another could be typed there.
func (s *Session) work() []form {
	ioctl := append([]string{"file-ioctl"}, using...)
	out := []form{allow(using, each("subpath", allNames(s.writable()))...)}
	if len(s.Read) > 0 {
		out = append(out, allow(reading, each("subpath", allNames(s.Read))...))
	}
	if files := allNames(s.Programs); len(files) > 0 {
		out = append(out, allow(reading, each("literal", files)...))
	}
	if s.Shims != "" {
		out = append(out, allow(reading, each("subpath", names(s.Shims))...))
	}
	devices := []string{"/dev/null", "/dev/ptmx", "/dev/tty", "/dev/zero"}
	if s.Terminal != "" {
		devices = append(devices, s.Terminal)
	}
	return append(out,
		allow(ioctl, each("literal", devices)...),
		allow(reading, each("literal", []string{"/dev/random", "/dev/urandom"})...),
		allow(reading, call("subpath", text("/dev/fd"))),
		allow([]string{"pseudo-tty"}),
		allow(ioctl, both(call("regex", text("^/dev/ttys[0-9]+$")), call("extension", text("com.apple.sandbox.pty")))),
	)
}

// denied: each rule with its own exceptions. To move a directory is to take its name away.
func (s *Session) denied() []form {
	var out []form
	file := not(call("vnode-type", word("DIRECTORY")))
	for i := range s.Denied {
		d := &s.Denied[i]
		rule := func(ops []string, match, except []string, files bool) {
			if len(match) == 0 {
				return
			}
			all := []form{regexes(match)}
			if files {
				all = append(all, file)
			}
			if len(except) > 0 {
				all = append(all, not(regexes(except)))
			}
			if len(all) > 1 {
				all = []form{both(all...)}
			}
			out = append(out, s.deny(d.Rule, ops, all...))
		}
		rule(using, d.Match, d.Except, d.Files)
		rule(using, d.Under, nil, false)
		rule(using, d.Backup, d.BackupExcept, true)
		rule(moving, d.Moves, d.Except, false)
	}
	for _, w := range s.writable() {
		out = append(out, s.deny("roots", moving, each("literal", names(w))...))
	}
	return out
}

// closed: what is the person's or Countersign's, in whole, but for what is the
// session's in it.
func (s *Session) closed() []form {
	mine := either(each("subpath", allNames(append(s.writable(), s.Read...))))
	mineOnly := either(each("subpath", allNames(s.writable())))
	var out []form
	tree := func(rule, dir string, but form) {
		out = append(out, s.deny(rule, using, both(call("regex", text(Root(dir)+"(/[^/]*)*$")), not(but))))
	}
	tree("person", s.Person, s.runs(mine))
	if s.Real != "" {
		tree("real-tree", s.Real, mineOnly)
	}
	for _, dir := range s.Own {
		tree("countersign-own", dir, s.runs(mineOnly))
	}
	return append(out, allow([]string{"file-read-metadata"}, each("literal", above(append(allNames(append(s.writable(), s.Read...)), s.programs()...)))...))
}

// runs adds what is executed: a program may lie where everything else is closed.
func (s *Session) runs(f form) form {
	all := []form{f}
	if len(s.Programs) > 0 {
		all = append(all, each("literal", allNames(s.Programs))...)
	}
	if s.Shims != "" {
		all = append(all, each("subpath", names(s.Shims))...)
	}
	return either(all)
}

func (s *Session) programs() []string {
	out := allNames(s.Programs)
	if s.Shims != "" {
		out = append(out, names(s.Shims)...)
	}
	return out
}

// The places that macOS and package managers keep for everybody. /System is not named
// as a whole: /System/Volumes/Data is every user's disk.
var (
	systemTrees = []string{
		"/Applications", "/Library", "/System/Applications", "/System/Cryptexes", "/System/Library", "/System/Volumes/Preboot/Cryptexes", "/bin", "/nix/store", "/opt", "/sbin", "/usr",
		"/private/etc", "/etc", "/private/var/db/dyld", "/private/var/db/timezone", "/private/var/select",
	}
	systemNames = []string{"/", "/dev", "/etc", "/private", "/tmp", "/var"}
	systemKeys  = []string{"/Library/Keychains", "/private/etc/master.passwd", "/private/etc/sudoers"}
)

// system comes last: what names a key elsewhere names a program's test or the
// authorities that it trusts there. It opens nothing that lies in another's tree.
func (s *Session) system() []form {
	trees := append(append(s.writable(), s.Read...), append([]string{s.Person}, s.Own...)...)
	if s.Real != "" {
		trees = append(trees, s.Real)
	}
	var others []string
	for _, t := range trees {
		others = append(others, Root(t)+"(/[^/]*)*$")
	}
	var keys []string
	for _, k := range systemKeys {
		keys = append(keys, Root(k)+"(/[^/]*)*$")
	}
	return []form{
		allow(reading, both(either(each("subpath", systemTrees)), not(regexes(others)))),
		allow([]string{"file-read-metadata"}, each("literal", systemNames)...),
		s.deny("system-keys", using, each("regex", keys)...),
	}
}
