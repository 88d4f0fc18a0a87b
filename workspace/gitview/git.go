package gitview

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
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

// call is one run of git.
type call struct {
	repo    Repo
	work    string   // working tree; "" for none
	index   string   // another index file than the repository's
	objects []string // more object directories to read from
	in      io.Reader
	out     io.Writer
	locks   bool   // may take optional locks: set where the real repository is changed
	store   string // where new objects go, if not into repo
	extra   []string
}

// run runs git and returns what it wrote, if c.out is nil.
func (c call) run(ctx context.Context, args ...string) ([]byte, error) {
	var full []string
	for _, kv := range append(neutral, c.extra...) {
		full = append(full, "-c", kv)
	}
	cmd := exec.CommandContext(ctx, "git", append(full, args...)...)
	cmd.Env = c.env()
	cmd.Dir = c.repo.Dir
	if c.work != "" {
		cmd.Dir = c.work
	}
	var out, errs bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = c.in, c.out, &limited{&errs, 4096}
	if c.out == nil {
		cmd.Stdout = &out
	}
	if err := cmd.Run(); err != nil {
		return out.Bytes(), &gitError{args: args, err: err, text: strings.TrimSpace(errs.String())}
	}
	return out.Bytes(), nil
}

func (c call) env() []string {
	env := []string{
		"PATH=/usr/local/bin:/usr/bin:/bin", "LC_ALL=C", "HOME=/nonexistent",
		"GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_SYSTEM=/dev/null", "GIT_CONFIG_GLOBAL=/dev/null", "GIT_ATTR_NOSYSTEM=1",
		"GIT_NO_LAZY_FETCH=1", "GIT_TERMINAL_PROMPT=0", "GIT_ASKPASS=false", "GIT_SSH_COMMAND=false",
		"GIT_ALLOW_PROTOCOL=none", "GIT_PAGER=cat", "GIT_NO_REPLACE_OBJECTS=1",
	}
	if c.repo.Dir != "" {
		env = append(env, "GIT_DIR="+c.repo.Dir, "GIT_COMMON_DIR="+c.repo.Common)
	}
	if c.work != "" {
		env = append(env, "GIT_WORK_TREE="+c.work)
	}
	if c.index != "" {
		env = append(env, "GIT_INDEX_FILE="+c.index)
	}
	if c.store != "" {
		env = append(env, "GIT_OBJECT_DIRECTORY="+c.store)
	}
	if len(c.objects) > 0 {
		env = append(env, "GIT_ALTERNATE_OBJECT_DIRECTORIES="+strings.Join(c.objects, string(os.PathListSeparator)))
	}
	if !c.locks {
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

// exit returns git's exit code, or -1.
func exitCode(err error) int {
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

// userConfig is what a session takes from the user's own git configuration.
type userConfig struct {
	name, email, excludes, defaultBranch string
}

// userSettings reads the user's own configuration, once. It is the user's, not
// the repository's, and is only read.
func (p *Project) userSettings(ctx context.Context) userConfig {
	p.userOnce.Do(func() {
		home, _ := os.UserHomeDir()
		conf, _ := os.UserConfigDir()
		cmd := exec.CommandContext(ctx, "git", "config", "--global", "--includes", "-z", "--get-regexp", `^(user\.(name|email)|core\.excludesfile|init\.defaultbranch)$`)
		cmd.Env = []string{"PATH=/usr/local/bin:/usr/bin:/bin", "HOME=" + home, "XDG_CONFIG_HOME=" + conf, "GIT_CONFIG_NOSYSTEM=1"}
		cmd.Dir = "/"
		out, _ := cmd.Output() // exit 1: nothing is set
		p.user.excludes = filepath.Join(conf, "git", "ignore")
		for _, kv := range strings.Split(string(out), "\x00") {
			key, value, _ := strings.Cut(kv, "\n")
			switch key {
			case "user.name":
				p.user.name = value
			case "user.email":
				p.user.email = value
			case "init.defaultbranch":
				p.user.defaultBranch = value
			case "core.excludesfile":
				if rest, ok := strings.CutPrefix(value, "~/"); ok {
					value = filepath.Join(home, rest)
				}
				p.user.excludes = value
			}
		}
	})
	return p.user
}

func splitZ(b []byte) []string {
	if len(b) == 0 {
		return nil
	}
	return strings.Split(strings.TrimSuffix(string(b), "\x00"), "\x00")
}
