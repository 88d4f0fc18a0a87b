//go:build amd64 || arm64

package selftest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Command is the hidden argument that makes the binary the attacker.
const Command = "__attack"

// nothing is what the attacker does that a row starts again.
const nothing = "nothing"

// rowTime is how long one attempt may take.
const rowTime = 20 * time.Second

// maxOut bounds what is kept of what came out of an attempt, bytes.
const maxOut = 64 << 10

// errMarked ends an attempt that was let go: whether anything came of it, what came
// out or what lies on the host decides.
var errMarked = errors.New("let go")

// errNot ends an attempt that reached something else than was attacked.
var errNot = errors.New("reached something, but not what was attacked")

// errUnmade ends an attempt that could not be made.
var errUnmade = errors.New("the attempt could not be made")

// Main is the attacker if args (without the program's name) ask for it; handled is
// false if they do not. `all SPEC` makes every attempt, each in a process of its
// own, and prints a Said a line; `row NAME SPEC` makes one.
func Main(args []string) (code int, handled bool) {
	if len(args) < 3 || args[0] != Command {
		return 0, false
	}
	if args[1] == nothing {
		return 0, true
	}
	var g Ground
	b, err := os.ReadFile(args[len(args)-1])
	if err == nil {
		err = json.Unmarshal(b, &g)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "read the ground:", err)
		return 1, true
	}
	if id := os.Getenv("COUNTERSIGN_SESSION"); id != "" {
		g.Args["session"] = id
	}
	out := json.NewEncoder(os.Stdout)
	switch {
	case args[1] == "all" && len(args) == 3:
		_ = out.Encode(Said{Session: g.Args["session"]})
		for _, r := range Table() {
			_ = out.Encode(g.apart(r, args[2]))
		}
		return 0, true
	case args[1] == "row" && len(args) == 4:
		if r, ok := Find(args[2]); ok {
			_ = out.Encode(g.Make(r))
			return 0, true
		}
	}
	fmt.Fprintln(os.Stderr, "no such row")
	return 2, true
}

// Words are the arguments that make one attempt, of this program.
func Words(row, spec string) []string { return []string{Command, "row", row, spec} }

// apart has a row tried by a process of its own.
func (g *Ground) apart(r Row, spec string) Said {
	cmd := exec.Command(g.Exe, Words(r.Name, spec)...)
	cmd.Args[0] = g.Exe
	cmd.Dir = g.Project()
	var out, talk bytes.Buffer
	cmd.Stdout, cmd.Stderr, cmd.WaitDelay = &out, &talk, time.Second
	err := cmd.Start()
	if err == nil {
		end := time.AfterFunc(rowTime, func() { _ = cmd.Process.Kill() })
		err = cmd.Wait()
		end.Stop()
	}
	var s Said
	if json.Unmarshal(out.Bytes(), &s) == nil && s.Row == r.Name {
		return s
	}
	s = Said{Row: r.Name, Error: fmt.Sprintf("%v %s", err, firstLine(talk.String()))}
	if w, ok := status(cmd); ok && w.Signaled() && w.Signal() == unix.SIGSEGV {
		s.Errno, s.Made = "SIGSEGV", true
	}
	return s
}

func status(cmd *exec.Cmd) (syscall.WaitStatus, bool) {
	if cmd.ProcessState == nil {
		return 0, false
	}
	w, ok := cmd.ProcessState.Sys().(syscall.WaitStatus)
	return w, ok
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}

// Make makes one attempt in this process.
func (g *Ground) Make(r Row) Said {
	s := Said{Row: r.Name}
	try := attempts()[r.Try]
	if try == nil {
		s.Error = "no attempt " + r.Try
		return s
	}
	args := g.Expand(r.Args)
	if len(r.Runs) > 0 {
		args = append(g.Expand(r.Runs), args...)
	}
	out, err := try(args)
	s.Made = !errors.Is(err, errUnmade)
	s.Out = out[:min(len(out), maxOut)]
	if s.Marked = errors.Is(err, errMarked); err != nil && !s.Marked {
		s.Error = err.Error()
	}
	var no unix.Errno
	if errors.As(err, &no) {
		s.Errno = unix.ErrnoName(no)
	}
	return s
}

// Spec is where the ground lies in its project.
func (g *Ground) Spec() string { return filepath.Join(g.Project(), SpecName) }

// Write writes the ground into its project.
func (g *Ground) Write() error {
	b, err := json.Marshal(g)
	if err != nil {
		return err
	}
	return os.WriteFile(g.Spec(), b, 0o600)
}
