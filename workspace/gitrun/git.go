// Package gitrun runs git on the host so that it starts nothing a repository
// names: no hooks, no fsmonitor, no filters, no ssh command, no transport, no lazy
// fetch; the system's and the user's configuration are not read either, and no
// object stands in for another. It must run no other program.
package gitrun

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"

	"github.com/countersign/countersign/internal/gitkeys"
)

// neutral are the settings under which git starts nothing that a repository
// names (git-config(1), git-config "protected configuration").
var neutral = []string{
	"core.fsmonitor=false", "core.hooksPath=/dev/null", "core.sshCommand=false", "core.pager=cat",
	"core.editor=false", "core.askPass=false", "core.gitProxy=false", "core.attributesFile=/dev/null",
	"core.alternateRefsCommand=true", "core.untrackedCache=false", "core.splitIndex=false",
	"protocol.allow=never", "credential.helper=", "diff.external=", "gpg.program=false",
	"gc.auto=0", "maintenance.auto=false", "submodule.recurse=false", "log.showSignature=false",
	"uploadpack.packObjectsHook=", "safe.directory=*", "advice.detachedHead=false", "core.quotePath=false",
}

// Repo is one repository.
type Repo struct {
	Rel    string // where its working tree stands, below the project's root; "" for the root
	Dir    string // its git directory, absolute
	Common string // its common directory (differs from Dir in a linked worktree)
	File   bool   // its .git is a file
}

// Call is one run of git.
type Call struct {
	Repo    Repo
	Work    string   // working tree; "" for none
	Index   string   // another index file than the repository's
	Objects []string // more object directories to read from
	In      io.Reader
	Out     io.Writer
	Locks   bool   // may take optional locks: set where the real repository is changed
	Store   string // where new objects go, if not into repo
	Extra   []string
}

// Run runs git and returns what it wrote, if Out is nil.
func (c Call) Run(ctx context.Context, args ...string) ([]byte, error) {
	var full []string
	for _, kv := range append(neutral, c.Extra...) {
		full = append(full, "-c", kv)
	}
	cmd := exec.CommandContext(ctx, "git", append(full, args...)...)
	cmd.Env = c.env()
	cmd.Dir = c.Repo.Dir
	if c.Work != "" {
		cmd.Dir = c.Work
	}
	var out, errs bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = c.In, c.Out, &limited{&errs, 4096}
	if c.Out == nil {
		cmd.Stdout = &out
	}
	if err := cmd.Run(); err != nil {
		return out.Bytes(), &gitError{args: args, err: err, text: strings.TrimSpace(errs.String())}
	}
	return out.Bytes(), nil
}

// pathList joins directories for a variable of git's. A name with the separator
// in it, or that looks quoted, is quoted as git quotes (git(1),
// GIT_ALTERNATE_OBJECT_DIRECTORIES).
func pathList(dirs []string) string {
	out := make([]string, len(dirs))
	for i, d := range dirs {
		out[i] = d
		if !strings.ContainsAny(d, string(os.PathListSeparator)+"\"\n") {
			continue
		}
		var b strings.Builder
		for _, c := range []byte(d) {
			switch {
			case c == '"' || c == '\\':
				b.WriteByte('\\')
				b.WriteByte(c)
			case c < ' ':
				fmt.Fprintf(&b, "\\%03o", c)
			default:
				b.WriteByte(c)
			}
		}
		out[i] = `"` + b.String() + `"`
	}
	return strings.Join(out, string(os.PathListSeparator))
}

func (c Call) env() []string {
	env := []string{
		"PATH=/usr/local/bin:/usr/bin:/bin", "LC_ALL=C", "HOME=/nonexistent",
		"GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_SYSTEM=/dev/null", "GIT_CONFIG_GLOBAL=/dev/null", "GIT_ATTR_NOSYSTEM=1",
		"GIT_NO_LAZY_FETCH=1", "GIT_TERMINAL_PROMPT=0", "GIT_ASKPASS=false", "GIT_SSH_COMMAND=false",
		"GIT_ALLOW_PROTOCOL=none", "GIT_PAGER=cat", "GIT_NO_REPLACE_OBJECTS=1",
	}
	if c.Repo.Dir != "" {
		env = append(env, "GIT_DIR="+c.Repo.Dir, "GIT_COMMON_DIR="+c.Repo.Common)
	}
	if c.Work != "" {
		env = append(env, "GIT_WORK_TREE="+c.Work)
	}
	if c.Index != "" {
		env = append(env, "GIT_INDEX_FILE="+c.Index)
	}
	if c.Store != "" {
		env = append(env, "GIT_OBJECT_DIRECTORY="+c.Store)
	}
	if len(c.Objects) > 0 {
		env = append(env, "GIT_ALTERNATE_OBJECT_DIRECTORIES="+pathList(c.Objects))
	}
	if !c.Locks {
		env = append(env, "GIT_OPTIONAL_LOCKS=0")
	}
	return env
}

type gitError struct {
	args []string
	err  error
	text string
}

func (e *gitError) Error() string {
	if e.text != "" {
		return fmt.Sprintf("git %s: %s", e.args[0], e.text)
	}
	return fmt.Sprintf("git %s: %v", e.args[0], e.err)
}

func (e *gitError) Unwrap() error { return e.err }

// ExitCode is git's exit code, or -1.
func ExitCode(err error) int {
	for err != nil {
		if x, ok := err.(*exec.ExitError); ok {
			return x.ExitCode()
		}
		u, ok := err.(interface{ Unwrap() error })
		if !ok {
			break
		}
		err = u.Unwrap()
	}
	return -1
}

type limited struct {
	w    io.Writer
	left int
}

func (l *limited) Write(p []byte) (int, error) {
	n := min(len(p), l.left)
	l.left -= n
	_, err := l.w.Write(p[:n])
	return len(p), err
}

// SplitZ cuts what git ends with NUL each.
func SplitZ(b []byte) []string {
	if len(b) == 0 {
		return nil
	}
	return strings.Split(strings.TrimSuffix(string(b), "\x00"), "\x00")
}

// ParseConfig has git read configuration text (git-config(1) --file -): includes
// are not followed, nothing is run.
func ParseConfig(ctx context.Context, text []byte) ([]gitkeys.Setting, error) {
	out, err := Call{In: bytes.NewReader(text), Repo: Repo{}, Work: "/"}.Run(ctx, "config", "--file", "-", "--no-includes", "--list", "-z")
	if err != nil {
		return nil, err
	}
	var all []gitkeys.Setting
	for _, kv := range SplitZ(out) {
		key, value, _ := strings.Cut(kv, "\n")
		all = append(all, gitkeys.Setting{Key: key, Value: value})
	}
	return all, nil
}
