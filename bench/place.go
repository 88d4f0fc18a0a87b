package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// place is a home, a project of 3,000 files, and a program to measure.
type place struct {
	root, home, project, bin, self, policy string
	env                                    []string
	sessions                               []float64 // the most memory that each had, MB
}

const benchPolicy = `version: 1
commands:
  - {id: bench-driver, verdict: allow, argv: ["%s", "..."], reason: measures}
`

func newPlace(bin string) (*place, error) {
	abs, err := filepath.Abs(bin)
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(abs); err != nil {
		return nil, fmt.Errorf("%w: make build", err)
	}
	root, err := os.MkdirTemp("/var/tmp", "cs-bench-")
	if err != nil {
		return nil, err
	}
	p := &place{root: root, home: filepath.Join(root, "home"), bin: abs}
	p.project = filepath.Join(p.home, "project")
	for _, d := range []string{"home/project", "state", "config", "cache", "run"} {
		if err := os.MkdirAll(filepath.Join(root, d), 0o700); err != nil {
			return nil, err
		}
	}
	p.env = []string{
		"HOME=" + p.home, "PATH=" + os.Getenv("PATH"), "LANG=C.UTF-8",
		"XDG_STATE_HOME=" + root + "/state", "XDG_CONFIG_HOME=" + root + "/config", "XDG_CACHE_HOME=" + root + "/cache", "XDG_RUNTIME_DIR=" + root + "/run",
		"GOFLAGS=-mod=mod", "GOTOOLCHAIN=local",
		"GIT_AUTHOR_NAME=b", "GIT_AUTHOR_EMAIL=b@example.com", "GIT_COMMITTER_NAME=b", "GIT_COMMITTER_EMAIL=b@example.com",
	}
	for _, name := range []string{"GOPROXY", "GONOSUMDB", "GOFLAGS", "GONOSUMCHECK", "GOSUMDB", "SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS"} {
		if v := os.Getenv(name); v != "" {
			p.env = append(p.env, name+"="+v)
		}
	}
	return p, p.fill()
}

// fill makes the project: this repository's own sources as the real Go module,
// and small files up to 3,000.
func (p *place) fill() error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	p.self = filepath.Join(p.project, "bench-driver")
	b, err := os.ReadFile(self)
	if err != nil {
		return err
	}
	if err := os.WriteFile(p.self, b, 0o755); err != nil {
		return err
	}
	archive := exec.Command("bash", "-c", `git archive HEAD | tar x -C "$0"`, p.project)
	if out, err := archive.CombinedOutput(); err != nil {
		return fmt.Errorf("copy the sources: %w: %s", err, out)
	}
	if err := files(p.project, 3000); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(p.project, "bench-agent.sh"), []byte("\"$@\"\n"), 0o644); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(p.project, ".gitignore"), []byte("/bin/\nbench-spec.json\nbench-driver\nnode_modules/\n/.cold/\n"), 0o644); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(p.project, ".env"), []byte("SECRET=x\n"), 0o644); err != nil {
		return err
	}
	p.policy = filepath.Join(p.root, "policy.yaml")
	if err := os.WriteFile(p.policy, []byte(fmt.Sprintf(benchPolicy, p.self)), 0o644); err != nil {
		return err
	}
	return p.bare("bash", "-c", "git init -q && git add -A && git commit -q -m start")
}

func (p *place) bare(name string, args ...string) error {
	cmd := exec.Command(name, args...)
	cmd.Dir, cmd.Env = p.project, p.env
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}
