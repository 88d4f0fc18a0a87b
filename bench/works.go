package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// work is one thing that is timed.
type work struct {
	Name   string
	Kind   string // exec, open, shell
	N      int
	Script string
	Before string // untimed, before each run

	prepare string // untimed, bare, once
}

// works are the figures of the design: exec, opens, git, grep, builds, installs.
func (p *place) works(only string) []work {
	all := []work{
		{Name: "exec", Kind: "exec", N: 1500},
		{Name: "open", Kind: "open", N: 200000},
		{Name: "git-status", Kind: "shell", N: 30, Script: "git status --porcelain >/dev/null"},
		{Name: "grep", Kind: "shell", N: 10, Script: "grep -r nothing-matches-this data >/dev/null; true"},
		{Name: "go-build-warm", Kind: "shell", N: 3, Script: "go build ./...", Before: "go build ./...", prepare: "go mod download && go build ./..."},
		{Name: "go-build-cold", Kind: "shell", N: 1, Script: "GOCACHE=$PWD/.cold go build ./policy ./diff ./ledger/...", Before: "rm -rf .cold"},
		{Name: "npm-ci", Kind: "shell", N: 1, Script: "cd npm && npm ci --offline --no-audit --no-fund --ignore-scripts >/dev/null", Before: "true", prepare: npmPrepare},
		{Name: "npm-install-newer", Kind: "shell", N: 1, Script: "cd npm && npm install --offline --no-audit --no-fund --ignore-scripts eslint@8.57.0 >/dev/null", Before: "cd npm && git checkout -q package.json package-lock.json && npm ci --offline --no-audit --no-fund --ignore-scripts >/dev/null"},
	}
	var out []work
	for _, w := range all {
		if wanted(only, w.Name) {
			out = append(out, w)
		}
	}
	return out
}

const npmPrepare = `set -e
mkdir -p npm && cd npm && echo '{"name":"b","version":"1.0.0"}' > package.json
npm install --no-audit --no-fund --ignore-scripts eslint@8.57.0 >/dev/null
npm install --no-audit --no-fund --ignore-scripts eslint@8.56.0 typescript@5.3.3 >/dev/null
cd .. && git add npm/package.json npm/package-lock.json && git commit -q -m npm`

// inside runs the works in this very process tree and prints their durations.
func inside(spec string, _ []string) error {
	b, err := os.ReadFile(spec)
	if err != nil {
		return err
	}
	var works []work
	if err := json.Unmarshal(b, &works); err != nil {
		return err
	}
	out := map[string]time.Duration{}
	for _, w := range works {
		d, err := w.run()
		if err != nil {
			fmt.Fprintf(os.Stderr, "%s: %v\n", w.Name, err)
			continue
		}
		out[w.Name] = d
	}
	return json.NewEncoder(os.Stdout).Encode(out)
}

// run times the work once and returns the duration of one of its N.
func (w work) run() (time.Duration, error) {
	if w.Before != "" {
		if err := shell(w.Before); err != nil {
			return 0, err
		}
	}
	t := time.Now()
	for range w.N {
		if err := w.once(); err != nil {
			return 0, err
		}
	}
	return time.Since(t) / time.Duration(w.N), nil
}

func (w work) once() error {
	switch w.Kind {
	case "exec":
		pid, err := syscall.ForkExec("/bin/true", []string{"true"}, &syscall.ProcAttr{Env: os.Environ()})
		if err != nil {
			return err
		}
		_, err = syscall.Wait4(pid, nil, 0, nil)
		return err
	case "open":
		fd, err := syscall.Open("go.mod", syscall.O_RDONLY, 0)
		if err != nil {
			return err
		}
		return syscall.Close(fd)
	}
	return shell(w.Script)
}

func shell(script string) error {
	cmd := exec.Command("bash", "-c", script)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %.300s", err, out)
	}
	return nil
}
