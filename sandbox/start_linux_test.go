package sandbox

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/countersign/countersign"
)

func testConfig(t *testing.T, argv ...string) (Config, *bytes.Buffer) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	base := t.TempDir()
	home, project := filepath.Join(base, "home"), filepath.Join(base, "project")
	for _, d := range []string{home, project} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	return Config{
		Exe: exe, Argv: argv, Env: []string{"PATH=/usr/local/go/bin:/usr/bin:/bin", "HOME=/home/agent"}, Dir: project,
		Home: "/home/agent", HomeSource: home,
		Mounts: []countersign.Mount{{Type: "bind", Source: project, Target: project}},
	}, nil
}

func TestTrue(t *testing.T) {
	c, _ := testConfig(t, "sh", "-c", "id; ls -la / /dev /home /tmp; cat /proc/self/mountinfo; ps aux; cat /proc/self/status | grep -i cap; cat /etc/resolv.conf; ls /sys/class/net; ls -la /proc/self/fd; mount | wc -l")
	out, err := os.CreateTemp(t.TempDir(), "out")
	if err != nil {
		t.Fatal(err)
	}
	c.Stdout, c.Stderr = out, out
	at := time.Now()
	s, err := Start(t.Context(), c)
	if err != nil {
		t.Fatalf("%v (%s)", err, countersign.RemedyOf(err))
	}
	defer s.Kill()
	t.Log("started", time.Since(at))
	if err := s.Go(); err != nil {
		t.Fatal(err)
	}
	code, err := s.Wait()
	t.Log("ended", time.Since(at), code, err, s.Notes)
	b, _ := os.ReadFile(out.Name())
	t.Logf("%s", b)
}
