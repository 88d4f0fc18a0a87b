//go:build unix

package review

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/charmbracelet/x/vt"
	"github.com/creack/pty"

	"github.com/countersign/countersign"
)

// The real program in a real terminal: it draws, takes keys, starts the editor,
// leaves the terminal as it was.
func TestRunInATerminal(t *testing.T) {
	person, tty, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer person.Close()
	defer tty.Close()
	pty.Setsize(person, &pty.Winsize{Rows: 24, Cols: 80})
	e := vt.NewSafeEmulator(80, 24)
	go func() {
		buf := make([]byte, 4096)
		for {
			n, err := e.Read(buf) // its answers to what the program asks
			if err != nil {
				return
			}
			person.Write(buf[:n])
		}
	}()
	go func() {
		buf := make([]byte, 32<<10)
		for {
			n, err := person.Read(buf)
			if err != nil {
				return
			}
			e.Write(buf[:n])
		}
	}()
	dir := t.TempDir()
	editor := filepath.Join(dir, "editor")
	os.WriteFile(editor, []byte("#!/bin/sh\nprintf 'mine\\n' > \"$2\"\n"), 0o700)
	src := &fake{set: countersign.Changeset{Session: "s1", Hunks: []countersign.Hunk{hunk("aa", "a.go", "1\n", "2\n"), hunk("bb", "b.go", "1\n", "2\n")}}}
	ended, hours := make(chan error, 1), 0
	go func() {
		ended <- Run(context.Background(), Options{
			Source: src, In: tty, Out: tty, Editor: []string{editor, "-x"}, Dir: dir, Env: []string{"TERM=xterm-256color", "NO_COLOR=1"}, Plain: true,
			Now: func() time.Time { hours++; return time.Unix(0, 0).Add(time.Duration(hours) * time.Hour) },
		})
	}()
	shows := func(s string) {
		t.Helper()
		for end := time.Now().Add(10 * time.Second); !strings.Contains(e.String(), s); time.Sleep(5 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("no %q on\n%s", s, e.String())
			}
		}
	}
	shows("2 of 2 hunks undecided")
	person.WriteString("e")
	shows("+ mine")
	person.WriteString("]")
	shows("[undecided] modify -7,1 +7,1  sha256:bb")
	person.WriteString("n")
	shows("0 of 2 hunks undecided")
	person.WriteString("q")
	select {
	case err := <-ended:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("does not leave")
	}
	if src.states() != "er" {
		t.Errorf("states %q", src.states())
	}
}

func (f *fake) states() string {
	out := ""
	for _, h := range f.set.Hunks {
		out += string(h.State[0])
	}
	return out
}
