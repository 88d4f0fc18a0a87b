package sandbox

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/countersign/countersign"
	"github.com/countersign/countersign/sandbox/seccomp"
)

// TestRefusals: where namespaces cannot be had, nothing starts, and what is said
// names the command that mends it. Each case makes such a machine around this
// test binary.
func TestRefusals(t *testing.T) {
	if os.Getenv("COUNTERSIGN_REFUSED") != "" {
		refusedInside(t)
		return
	}
	if err := unshareUser(); err != nil {
		t.Skip("no user namespace to make such a machine in")
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct{ name, prepare, tier, remedy string }{
		{"no namespaces left", "echo 0 > /proc/sys/user/max_user_namespaces", "B", "user.max_user_namespaces"},
		{"a container that hides part of proc", "mount -t tmpfs x /proc/bus", "B", "systempaths=unconfined"},
		{"a container without capabilities over mounts", "mount -t tmpfs x /proc/sys/fs", "B", "unconfined"},
	} {
		t.Run(row.name, func(t *testing.T) {
			cmd := exec.Command("unshare", "-Urm", "sh", "-c", row.prepare+` && exec "$0" -test.run '^TestRefusals$' -test.v`, exe)
			cmd.Env = append(os.Environ(), "COUNTERSIGN_REFUSED="+row.remedy, "COUNTERSIGN_TIER="+row.tier)
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
		})
	}
}

func refusedInside(t *testing.T) {
	g := newGround(t)
	g.Argv = []string{"touch", g.project + "/ran"}
	_, err := Start(t.Context(), g.Config)
	if countersign.CodeOf(err) != countersign.EPosture {
		t.Errorf("not a matter of posture: %v", err)
	}
	if remedy := countersign.RemedyOf(err); !strings.Contains(remedy, os.Getenv("COUNTERSIGN_REFUSED")) {
		t.Errorf("remedy %q for %v", remedy, err)
	}
	p := Probe(t.Context(), g.Exe)
	if p.Tier != os.Getenv("COUNTERSIGN_TIER") {
		t.Errorf("tier %s", p.Tier)
	}
	for _, m := range p.Mechanisms {
		if m.State == "missing" && !strings.Contains(m.Remedy, os.Getenv("COUNTERSIGN_REFUSED")) {
			t.Errorf("%s: remedy %q", m.Name, m.Remedy)
		}
	}
	if _, err := os.Stat(g.project + "/ran"); err == nil {
		t.Error("it ran")
	}
}

// TestSecondListener: below another seccomp listener, as WSL 2 has one, no exec can
// be stopped, and what is said names that.
func TestSecondListener(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe, "__listened", "-test.run", "^TestRefusals$", "-test.v")
	cmd.Env = append(os.Environ(), "COUNTERSIGN_REFUSED=virtual machine", "COUNTERSIGN_TIER=C")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// listened runs this binary again below a listener of its own.
func listened(args []string) error {
	runtime.LockOSThread()
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	prog, err := seccomp.Program(nil)
	if err != nil {
		return err
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	l, _, err := seccomp.Install(prog)
	if err != nil {
		return err
	}
	if _, err := unix.FcntlInt(uintptr(l), unix.F_SETFD, 0); err != nil { // a listener that is closed is none
		return err
	}
	return unix.Exec(exe, append([]string{exe}, args...), os.Environ())
}

// TestView lists what is mounted inside: nothing that the plan does not name.
func TestView(t *testing.T) {
	g := newGround(t)
	out, _ := g.run(t, "cut -d' ' -f5,6 /proc/self/mountinfo; echo; ls -A / /var /run /dev; readlink /var/run")
	may := []string{"/usr", "/bin", "/sbin", "/lib", "/etc", "/opt", "/nix", "/dev", "/proc", "/sys", "/tmp", "/var/tmp", "/run", insideHome, g.project, g.base + "/bin"}
	writable := []string{"/dev/pts", "/dev/shm", "/tmp", "/var/tmp", "/run", insideHome, g.project}
	mounts, _, _ := strings.Cut(out, "\n\n")
	for line := range strings.Lines(mounts) {
		point, flags, _ := strings.Cut(strings.TrimSpace(line), " ")
		within := func(dirs []string) bool {
			for _, d := range dirs {
				if point == d || strings.HasPrefix(point, d+"/") {
					return true
				}
			}
			return point == "/"
		}
		if !within(may) {
			t.Errorf("mounted: %s", point)
		}
		if !strings.Contains(flags, "nosuid") {
			t.Errorf("%s: %s", point, flags)
		}
		rw := strings.HasPrefix(flags, "rw")
		if rw != (point != "/" && contain(writable, point)) {
			t.Errorf("%s: %s", point, flags)
		}
	}
	for _, absent := range []string{".old", ".init", "boot", "root", "srv", "mnt", "fuse", "docker.sock"} {
		if strings.Contains(out, "\n"+absent+"\n") {
			t.Errorf("%s is there", absent)
		}
	}
}

func contain(list []string, s string) bool {
	for _, x := range list {
		if x == s {
			return true
		}
	}
	return false
}

// TestLinkRace: an agent that swaps directories for links while the session lays
// pins and masks never moves one out of its own directory.
func TestLinkRace(t *testing.T) {
	rounds := 300
	if os.Getenv("COUNTERSIGN_LONG") != "" {
		rounds = 20000
	}
	g := newGround(t)
	write(t, g.project+"/a/d/f", "first")
	write(t, g.project+"/a/d/passwd", "mine")
	if err := os.Symlink("/etc", g.project+"/l"); err != nil {
		t.Fatal(err)
	}
	s := g.start(t, g.exe, "__attack", "swap", g.project+"/a/d", g.project+"/l")
	if err := s.Go(); err != nil {
		t.Fatal(err)
	}
	laid, refused := 0, 0
	for range rounds {
		pin, err := s.Pin(g.project+"/a/d/passwd", []byte("root::0:0\n"))
		if err != nil {
			refused++
			continue
		}
		laid++
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/mountinfo", s.InitPID))
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(b)) {
			f := strings.Fields(line)
			if strings.HasPrefix(f[3], "/stage/p") && !strings.HasPrefix(f[4], g.project+"/") {
				t.Fatalf("a pin at %s", f[4])
			}
		}
		if err := s.Unpin(pin); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d laid, %d refused", laid, refused)
	if laid == 0 || refused == 0 {
		t.Error("the race was none")
	}
}

// TestHostRename: a save by rename outside takes a mount off; laying it again
// closes the new file, and laying it twice does nothing.
func TestHostRename(t *testing.T) {
	g := newGround(t)
	path := write(t, g.project+"/.env", "OLD")
	g.Tripwires = []Trip{{Path: path}}
	s := g.start(t, "bash", "-c", "cat .env; while [ ! -e go ]; do sleep 0.01; done; cat .env")
	out, err := os.CreateTemp(g.base, "out")
	if err != nil {
		t.Fatal(err)
	}
	s.Kill()
	g.Stdout, g.Stderr = out, out
	s = g.start(t, g.Argv...)
	if err := s.Go(); err != nil {
		t.Fatal(err)
	}
	said := func() string {
		b, _ := os.ReadFile(out.Name())
		return string(b)
	}
	// In the moment of the rename the kernel has taken the mount off and still finds the
	// old file: the first cat must be over.
	eventually(t, "the first cat", func() bool { return strings.Contains(said(), "\n") })
	if err := os.Rename(write(t, g.project+"/.env.tmp", "NEW"), path); err != nil {
		t.Fatal(err)
	}
	if err := s.AddTripwire(Trip{Path: path}, Trip{Path: path}); err != nil {
		t.Fatal(err)
	}
	write(t, g.project+"/go", "")
	if _, err := s.Wait(); err != nil {
		t.Fatal(err)
	}
	if s := said(); strings.Contains(s, "OLD") || strings.Contains(s, "NEW") || strings.Count(s, "Permission denied") != 2 {
		t.Errorf("%s", s)
	}
}

// TestManyAtOnce starts sandboxes side by side, and leaves nothing behind.
func TestManyAtOnce(t *testing.T) {
	once := func() {
		g := newGround(t)
		g.Argv = []string{"true"}
		s, err := Start(t.Context(), g.Config)
		if err != nil {
			t.Error(err)
			return
		}
		supervise(s.Process)
		if err := s.Go(); err != nil {
			t.Error(err)
		}
		if exit, err := s.Wait(); exit != 0 || err != nil {
			t.Error(exit, err)
		}
		s.Kill()
		s.Listener.Close()
	}
	once()
	before := openFiles(t)
	var all sync.WaitGroup
	for range 6 {
		all.Go(once)
	}
	all.Wait()
	for deadline := time.Now().Add(5 * time.Second); openFiles(t) > before+2; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			out, _ := exec.Command("ls", "-l", fmt.Sprintf("/proc/%d/fd", os.Getpid())).Output()
			t.Fatalf("%d descriptors, %d before:\n%s", openFiles(t), before, out)
		}
	}
}

func openFiles(t *testing.T) int {
	t.Helper()
	names, err := filepath.Glob("/proc/self/fd/*")
	if err != nil {
		t.Fatal(err)
	}
	return len(names)
}

// BenchmarkStart is the start and end of `true` inside; compare BenchmarkBare.
func BenchmarkStart(b *testing.B) {
	exe, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	dir := b.TempDir()
	c := Config{
		Exe: exe, Argv: []string{"true"}, Env: []string{"PATH=/usr/bin:/bin"}, Dir: "/", Home: insideHome, HomeSource: dir, Gate: true,
		Mounts: []countersign.Mount{{Type: "bind", Source: dir, Target: dir}},
	}
	var up time.Duration
	for b.Loop() {
		at := time.Now()
		s, err := Start(b.Context(), c)
		if err != nil {
			b.Fatal(err)
		}
		supervise(s.Process)
		if err := s.Go(); err != nil {
			b.Fatal(err)
		}
		if _, err := s.Wait(); err != nil {
			b.Fatal(err)
		}
		up += time.Since(at)
		s.Kill()
	}
	b.ReportMetric(float64(up.Microseconds())/1000/float64(b.N), "ms/until-exit")
}

func BenchmarkBare(b *testing.B) {
	for b.Loop() {
		if err := exec.Command("true").Run(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkPin is one sealed copy laid and taken off.
func BenchmarkPin(b *testing.B) {
	exe, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	dir := b.TempDir()
	if err := os.WriteFile(dir+"/f", []byte("x"), 0o600); err != nil {
		b.Fatal(err)
	}
	s, err := Start(b.Context(), Config{
		Exe: exe, Argv: []string{"true"}, Home: insideHome, HomeSource: dir, Dir: "/",
		Mounts: []countersign.Mount{{Type: "bind", Source: dir, Target: dir}},
	})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Kill()
	for b.Loop() {
		p, err := s.Pin(dir+"/f", []byte("pinned"))
		if err != nil {
			b.Fatal(err)
		}
		if err := s.Unpin(p); err != nil {
			b.Fatal(err)
		}
	}
}
