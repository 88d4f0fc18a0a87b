package knowing

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/countersign/countersign/gateway/scan"
	"github.com/countersign/countersign/workspace/stage"
)

// What denied files hold is known, and nothing that lies beside them makes the
// session wait or read elsewhere.
func TestDeniedContentIsLearnt(t *testing.T) {
	root, outside := t.TempDir(), filepath.Join(t.TempDir(), "outside")
	value := func(c string) string { return strings.Repeat(c+"7Kq", 6) }
	write := func(path, content string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(filepath.Join(root, ".env"), "TOKEN="+value("a")+"\n")
	write(filepath.Join(root, ".secrets/deep/x"), "password: "+value("b")+"\n")
	write(filepath.Join(root, ".secrets/large"), strings.Repeat("x", scan.MaxFile)+"\nTOKEN="+value("c"))
	write(outside, "TOKEN="+value("d")+"\n")
	if err := os.Symlink(outside, filepath.Join(root, ".secrets/link")); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mkfifo(filepath.Join(root, ".secrets/pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mkfifo(filepath.Join(root, "id_pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	d := New(root)
	for _, trip := range []stage.Trip{{Path: ".env"}, {Path: ".secrets", Dir: true}, {Path: "id_pipe"}, {Path: "gone"}, {Path: "same", Alias: ".env"}} {
		d.Learn(trip)
	}
	tests := []struct{ value, source string }{{value("a"), ".env"}, {value("b"), ".secrets/deep/x"}, {value("c"), ""}, {value("d"), ""}}
	for _, tt := range tests {
		found, err := d.Scanner.Text("it is "+tt.value+" there", scan.NewBudget(0))
		if err != nil {
			t.Fatal(err)
		}
		if source := append(found, scan.Finding{})[0].Source; source != tt.source {
			t.Errorf("%s is known as %q, want %q", tt.value, source, tt.source)
		}
	}
}
