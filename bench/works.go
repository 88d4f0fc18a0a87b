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
	Aim    aims
}

// aims are the ratios to bare that are aimed at, by back end.
type aims map[string]float64

// works are the figures of the design: exec, opens, git, grep and builds.
func works() []work {
	return []work{
		{Name: "covered exec", Kind: "exec", N: 1500, Aim: aims{"snapshot": 1.35, "overlay": 1.35}},
		{Name: "file open", Kind: "open", N: 200000},
		{Name: "git status", Kind: "shell", N: 30, Script: "git status --porcelain >/dev/null", Aim: aims{"snapshot": 1.05, "overlay": 1.35}},
		{Name: "grep -r", Kind: "shell", N: 10, Script: "grep -r nothing-matches-this data >/dev/null; true", Aim: aims{"snapshot": 1.05, "overlay": 1.45}},
		{Name: "go build, warm", Kind: "shell", N: 3, Script: "go build ./...", Before: "go build ./...", Aim: aims{"snapshot": 1.05}},
		{Name: "go build, cold", Kind: "shell", N: 1, Script: "GOCACHE=$PWD/.cold go build ./policy ./diff ./ledger/...", Before: "rm -rf .cold", Aim: aims{"snapshot": 1.15}},
		{Name: "rm -rf, 20,000 files", Kind: "shell", N: 1, Script: "rm -rf .cold", Before: "rm -rf .cold; for d in $(seq 200); do mkdir -p .cold/$d && (cd .cold/$d && seq 100 | xargs touch); done", Aim: aims{"snapshot": 2.0}},
	}
}

// bulk is much of the same, in one piece each: what grows with it shows.
func bulk() []work {
	return []work{
		{Name: "10,000 covered execs", Kind: "exec", N: 10_000, Aim: aims{"snapshot": 1.35, "overlay": 1.35}},
		{Name: "1,000,000 file opens", Kind: "open", N: 1_000_000},
	}
}

// inside runs the works in this very process tree and prints their durations.
func inside(spec string) error {
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
