package sandbox

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// attackRow is a triple without its record, which is the session's to test: with
// the control off the attack works, with it on it does not.
type attackRow struct {
	name string
	args []string
	root bool // works bare for root only
	may  bool // may be refused bare too, by this machine's own settings
}

// victim is a host that has something to attack.
type victim struct {
	secret, dir   string
	pid           int
	unix, tcp     string
	abstract, udp string
	toolDir       string
	shm           int
	leak          int
}

func newVictim(t *testing.T, g *ground) victim {
	t.Helper()
	v := victim{toolDir: g.base + "/bin"}
	v.dir = g.base + "/secret"
	v.secret = write(t, v.dir+"/.ssh/id_ed25519", "KEY")
	c := exec.Command("/bin/sleep", "300")
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Process.Kill(); _ = c.Wait() })
	v.pid = c.Process.Pid
	v.unix = filepath.Join(g.base, "agent.sock")
	v.abstract = "@countersign-test-" + fmt.Sprint(os.Getpid())
	for _, l := range [][2]string{{"unix", v.unix}, {"unix", v.abstract}, {"tcp", "127.0.0.1:0"}} {
		n, err := net.Listen(l[0], l[1])
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { n.Close() })
		if l[0] == "tcp" {
			v.tcp = n.Addr().String()
		}
	}
	p, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	v.udp = p.LocalAddr().String()
	go func() {
		b := make([]byte, 10)
		for {
			n, a, err := p.ReadFrom(b)
			if err != nil {
				return
			}
			_, _ = p.WriteTo(b[:n], a)
		}
	}()
	if v.shm, err = unix.SysvShmGet(unix.IPC_PRIVATE, 4096, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = unix.SysvShmCtl(v.shm, unix.IPC_RMID, nil) })
	// A descriptor that a careless parent left open.
	if v.leak, err = unix.FcntlInt(os.Stderr.Fd(), unix.F_DUPFD, 90); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(v.leak) })
	return v
}

func attackTable(v victim) []attackRow {
	pid := fmt.Sprint(v.pid)
	return []attackRow{
		{name: "read", args: []string{v.secret}},
		{name: "list", args: []string{v.dir}},
		{name: "list", args: []string{"/work"}, may: true},
		{name: "list", args: []string{"/boot"}},
		{name: "list", args: []string{"/srv"}},
		{name: "list", args: []string{"/var/spool"}, may: true},
		{name: "read", args: []string{"/etc/shadow"}, root: true},
		{name: "write", args: []string{v.toolDir}},
		{name: "write", args: []string{"/usr"}, root: true},
		{name: "write", args: []string{"/etc"}, root: true},
		{name: "write", args: []string{"/"}, root: true},
		{name: "write", args: []string{"/dev"}, root: true},
		{name: "rewrite", args: []string{"/proc/sys/kernel/core_pattern"}, root: true},
		{name: "rewrite", args: []string{"/proc/sys/vm/overcommit_memory"}, root: true},
		{name: "rewrite", args: []string{"/sys/kernel/mm/transparent_hugepage/enabled"}, root: true, may: true},
		{name: "read", args: []string{"/proc/kallsyms"}},
		{name: "read", args: []string{"/proc/timer_list"}, root: true},
		{name: "list", args: []string{"/sys/kernel/debug"}, root: true},
		{name: "chmod", args: []string{"/dev/full"}, root: true},
		{name: "kill", args: []string{pid}},
		{name: "environ", args: []string{pid}},
		{name: "root", args: []string{pid}},
		{name: "memwrite", args: []string{pid}},
		{name: "childmem"},
		{name: "ptrace"},
		{name: "vmwrite"},
		{name: "dial", args: []string{"unix", v.unix}},
		{name: "dial", args: []string{"unix", v.abstract}},
		{name: "dial", args: []string{"tcp", v.tcp}},
		{name: "udp", args: []string{v.udp}},
		{name: "interfaces", may: true},
		{name: "unshare"},
		{name: "usern"},
		{name: "setns", args: []string{pid}, root: true},
		{name: "mknod", args: []string{v.dir}, root: true},
		{name: "mount", args: []string{v.dir}, root: true},
		{name: "opentree", args: []string{v.dir}, root: true},
		{name: "chroot", args: []string{v.dir}, root: true},
		{name: "handle", args: []string{v.secret}, root: true},
		{name: "vsock", may: true},
		{name: "packet", root: true},
		{name: "generic"},
		{name: "shm", args: []string{fmt.Sprint(v.shm)}},
		{name: "iouring", may: true},
		{name: "keyctl", may: true},
		{name: "fd", args: []string{fmt.Sprint(v.leak)}},
		{name: "corelimit", may: true},
		{name: "setuid"},
		{name: "caps", root: true},
	}
}

func TestAttacks(t *testing.T) {
	g := newGround(t)
	v := newVictim(t, g)
	for _, row := range attackTable(v) {
		t.Run(row.name+" "+strings.Join(row.args, " "), func(t *testing.T) {
			argv := append([]string{g.exe, "__attack", row.name}, row.args...)
			// Bare: the attack works, or the row proves nothing.
			out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput()
			_ = os.Remove(v.toolDir + "/planted")
			_ = os.Remove(v.dir + "/node")
			for _, d := range []string{"/usr", "/etc", "/", "/dev"} {
				_ = os.Remove(filepath.Join(d, "planted"))
			}
			if row.name == "mount" && err == nil {
				_ = unix.Unmount(row.args[0], unix.MNT_DETACH)
			}
			if err != nil {
				if row.may || row.root && os.Getuid() != 0 {
					t.Logf("does not work bare here: %s", strings.TrimSpace(string(out)))
				} else {
					t.Fatalf("bare, the attack fails by itself: %v %s", err, out)
				}
			}
			said, exit := g.exec(t, argv...)
			if exit != 1 {
				t.Errorf("inside: exit %d, %s", exit, said)
			}
			t.Logf("inside: %s", strings.TrimSpace(said))
		})
	}
}

// TestWithoutFilter shows what the view alone holds: no capability, no way to
// change a mount, not even in a user namespace of its own.
func TestWithoutFilter(t *testing.T) {
	g := newGround(t)
	g.Gate = false
	write(t, g.project+"/.env", "SECRET")
	g.Tripwires = []Trip{{Path: g.project + "/.env"}}
	rows := []string{
		"umount " + g.project + "/.env",
		"mount -o remount,rw /usr",
		"mount -t tmpfs x /tmp",
		"unshare -Urm umount " + g.project + "/.env",
		"unshare -Urm umount " + g.project,
		"unshare -Urm umount -l /proc/sys",
		"unshare -Urm mount -o remount,bind,rw /usr",
		"unshare -Urmpf mount -t proc proc /tmp",
		"unshare -Urm sh -c 'mount --bind " + g.project + " /tmp && cat /tmp/.env'",
		"unshare -Urm sh -c 'mount --rbind " + g.project + " /tmp && cat /tmp/.env'",
		"cat " + g.project + "/.env",
		"cat /proc/self/root" + g.project + "/.env",
		"echo x > " + g.project + "/.env",
		"rm " + g.project + "/.env",
		"mv " + g.project + "/.env /tmp/x",
		"ln " + g.project + "/.env " + g.project + "/y",
		"ls /.old", "ls /.init", "touch /x", "touch /usr/x", "touch /dev/x",
		"ls /proc/1/root/", "cat /proc/1/environ", "cat /proc/1/maps", "readlink /proc/1/fd/3", "readlink /proc/1/exe",
		"exec 3<>/proc/1/mem",
		"exec 3<>/proc/$PPID/mem",
		"exec 3<>/proc/self/mem",
		"sleep 5 & exec 3<>/proc/$!/mem",
		"echo 0 > /proc/self/oom_score_adj",
		"chmod 666 /dev/null", "touch /dev/null", "chmod 700 /dev", "chmod 755 /",
		"mknod /tmp/n c 1 3",
		"echo 1 > /proc/sysrq-trigger",
		"kill -9 1; kill -STOP 1; kill -SEGV 1; kill -TERM 1; kill -QUIT 1; kill -ABRT 1; kill -INT 1; kill -HUP 1; kill -USR1 1; sleep 0.05; false",
	}
	script := ""
	for i, r := range rows {
		script += fmt.Sprintf("( %s ) >/dev/null 2>&1 && echo WORKED %d\n", r, i)
	}
	out, exit := g.run(t, script+"echo end")
	if exit != 0 || strings.TrimSpace(out) != "end" {
		for i, r := range rows {
			if strings.Contains(out, fmt.Sprintf("WORKED %d\n", i)) {
				t.Errorf("worked: %s", r)
			}
		}
		t.Fatalf("exit %d: %s", exit, out)
	}
}

func TestKillIsPrompt(t *testing.T) {
	g := newGround(t)
	s := g.start(t, "bash", "-c", "trap '' TERM HUP; (setsid sleep 1000 &) ; sleep 1000 & echo $! > ready; wait")
	if err := s.Go(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "ready", func() bool { _, err := os.Stat(g.project + "/ready"); return err == nil })
	at := time.Now()
	s.Kill()
	if d := time.Since(at); d > 2*time.Second {
		t.Errorf("kill took %v", d)
	} else {
		t.Log("killed in", d)
	}
}
