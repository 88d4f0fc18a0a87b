package apparmor

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The package's file is the profile of the program where the package puts it.
func TestThePackagesProfile(t *testing.T) {
	want, err := Profile("/usr/bin/countersign")
	if err != nil {
		t.Fatal(err)
	}
	const file = "../../packaging/apparmor.d/countersign"
	if os.Getenv("COUNTERSIGN_WRITE_DOCS") != "" {
		if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(file)
	if err != nil || string(got) != want {
		t.Errorf("%s is not the profile (%v): COUNTERSIGN_WRITE_DOCS=1 go test ./sandbox/apparmor", file, err)
	}
}

func TestPathsAreLiteral(t *testing.T) {
	for path, want := range map[string]string{
		"/opt/a b/countersign":      `"/opt/a b/countersign"`,
		"/home/*/countersign":       `"/home/\*/countersign"`,
		"/x/@{HOME}/{a,b}/[c]?^":    `"/x/\@\{HOME\}/\{a\,b\}/\[c\]\?\^"`,
		`/x/"y" {`:                  `"/x/\"y\" \{"`,
		`/x\y`:                      `"/x\\y"`,
		"/home/zoë/bin/countersign": `"/home/zoë/bin/countersign"`,
	} {
		if p, err := Profile(path); err != nil || !strings.Contains(p, "profile countersign "+want+" flags") {
			t.Errorf("%s: %v\n%s", path, err, p)
		}
	}
	for _, path := range []string{"", "countersign", "/x/../y", "/x\n}\nprofile y /** { capability, }", "/x\x00", "/x/\x7f"} {
		if p, err := Profile(path); err == nil {
			t.Errorf("%q has a profile:\n%s", path, p)
		}
	}
}

// AppArmor's own parser takes every profile, where the machine has one of 4.0 or later.
func TestTheParserTakesIt(t *testing.T) {
	parser, base := "apparmor_parser", "/etc/apparmor.d"
	if dir := os.Getenv("COUNTERSIGN_APPARMOR"); dir != "" { // a wrapper and its abi files elsewhere
		parser, base = filepath.Join(dir, "apparmor_parser"), filepath.Join(dir, "apparmor.d")
	}
	if _, err := os.Stat(filepath.Join(base, "abi/4.0")); err != nil {
		t.Skip("no AppArmor 4.0 here: ", err)
	}
	for _, program := range []string{"/usr/bin/countersign", "/x/@{HOME}/{a,b}/[c]?^", `/x/"y" {`, `/x\y`, "/home/a b/*"} {
		p, err := Profile(program)
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(t.TempDir(), "profile")
		if err := os.WriteFile(file, []byte(p), 0o600); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command(parser, "--base", base, "--skip-kernel-load", "--skip-cache", file).CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", program, err, out)
		}
	}
}
