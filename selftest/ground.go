package selftest

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Ground is what rows attack: a home and a project with canary secrets, things of
// the host beside them, and where Countersign's own state lies. It is written into
// the project for the attempts to read, and so holds no secret.
type Ground struct {
	Root    string            // all of it, on the host
	Exe     string            // this program, where the sandbox shows it
	Args    map[string]string // what stands for {name} in a row's arguments
	Missing []string          // of the needs, what is not here
}

// SpecName is the file of the project in which the Ground is written.
const SpecName = "selftest.json"

// Home, Project and Outside are directories of the ground.
func (g *Ground) Home() string    { return filepath.Join(g.Root, "home") }
func (g *Ground) Project() string { return filepath.Join(g.Root, "home", "project") }
func (g *Ground) Outside() string { return filepath.Join(g.Root, "outside") }

// Expand puts the ground's values into a row's arguments.
func (g *Ground) Expand(args []string) []string {
	out := slices.Clone(args)
	for i := range out {
		for name, v := range g.Args {
			out[i] = strings.ReplaceAll(out[i], "{"+name+"}", v)
		}
	}
	return out
}

// Lay makes the canary home and project, each secret holding marker. What is to be
// in the repository's history is laid by commit, between the files and the links.
func (g *Ground) Lay(marker string, commit func() error) error {
	secret := "SECRET=" + marker + "\n"
	files := map[string]string{
		"home/project/readme.md": "a canary project: everything in it is noise\n",
		"home/project/other":     "nothing\n",
		"home/project/tool":      "#!/bin/sh\nexit 0\n",
		"home/other/notes":       secret,
		"home/.bash_profile":     "\n",
		"outside/notes":          secret,
	}
	for _, name := range []string{
		".env", "sub/server.pem", "dir/server.key", "upper/.ENV", ".\uff45nv", ".e\u200bnv", "a/b/.env.production", "deploy/id_ed25519", ".aws/credentials",
	} {
		files["home/project/"+name] = secret
	}
	for _, name := range []string{
		".ssh/id_ed25519", ".aws/credentials", ".kube/config", ".docker/config.json", ".gnupg/private-keys-v1.d/key", ".netrc", ".git-credentials", ".bash_history",
	} {
		files["home/"+name] = secret
	}
	for name, text := range files {
		path := filepath.Join(g.Root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			return err
		}
	}
	if err := os.Chmod(filepath.Join(g.Project(), "tool"), 0o700); err != nil { //nolint:gosec // it is a program
		return err
	}
	if err := commit(); err != nil {
		return fmt.Errorf("make the canary repository: %w", err)
	}
	return errors.Join(
		os.Symlink(".env", filepath.Join(g.Project(), "link-to-env")),
		os.Link(filepath.Join(g.Project(), ".env"), filepath.Join(g.Project(), "hard.txt")),
	)
}
