package procstat

import (
	"os"
	"os/exec"
	"strconv"
	"testing"
)

func FuzzParse(f *testing.F) {
	f.Add([]byte("12 (a) b) S 7 1 1 0 -1 4 1 0 0 0 0 0 0 0 20 0 1 0 99 1 1"))
	f.Fuzz(func(_ *testing.T, b []byte) { _, _, _, _ = parse(b) })
}

func TestParseSurvivesNames(t *testing.T) {
	ppid, start, _, err := parse([]byte("12 (a) S 9 9) S 7 1 1 0 -1 4 1 0 0 0 0 0 0 0 20 0 1 0 99 1 1\n"))
	if err != nil || ppid != 7 || start != 99 {
		t.Errorf("ppid %d start %d: %v", ppid, start, err)
	}
}

func TestChildren(t *testing.T) {
	cmd := exec.Command("sh", "-c", "sleep 60 & echo $!; read x; kill $!")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer in.Close()
	buf := make([]byte, 32)
	n, err := out.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	kid, err := strconv.Atoi(string(buf[:n-1]))
	if err != nil {
		t.Fatal(err)
	}
	_, start, _, err := Read(kid, make([]byte, 1024))
	if err != nil {
		t.Fatal(err)
	}
	var census, fresh Census
	census.old.Store(true) // whose identities are start times
	got, err := census.Children(cmd.Process.Pid)
	if err != nil || len(got) != 1 || got[kid] != start {
		t.Errorf("%v, %v; want %d: %d", got, err, kid, start)
	}
	if got, err := census.Children(os.Getpid()); err != nil || got[kid] != 0 {
		t.Errorf("a grandchild is no child: %v, %v", got, err)
	}
	who, err := fresh.Identify(kid, make([]byte, 1024))
	if got, cerr := fresh.Children(cmd.Process.Pid); err != nil || cerr != nil || len(got) != 1 || got[kid] != who.ID {
		t.Errorf("%v, %v; want %d: %d (%v)", got, cerr, kid, who.ID, err)
	}
}
