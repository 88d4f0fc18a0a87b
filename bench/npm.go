package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// npmOlder and npmNewer are what the installs are measured with: about 400
// packages in all, a few of them in two versions.
const (
	npmOlder = "express@4.18.2 typescript@5.3.3 jest@29.6.4 eslint@8.56.0"
	npmNewer = "express@4.19.2 typescript@5.4.5 jest@29.7.0 eslint@8.57.0"
)

// npmFlags keep an install to its work: no scripts, no reports, and a lock file
// that names where each package came from.
const npmFlags = " --no-audit --no-fund --no-update-notifier --ignore-scripts --no-omit-lockfile-registry-resolved"

const npmOffline = npmFlags + " --offline"

// npmWarm fills a cache with both versions and keeps the lock file of the older.
const npmWarm = `set -e
cd "$0"; echo '{"name":"b","version":"1.0.0","private":true}' > package.json
net="--cache $0/npm --fetch-retries=1 --fetch-timeout=20000"
npm install $net` + npmFlags + ` ` + npmNewer + ` >&2
rm -rf node_modules package-lock.json; echo '{"name":"b","version":"1.0.0","private":true}' > package.json
npm install $net` + npmFlags + ` ` + npmOlder + ` >&2
npm config get registry > registry
rm -rf node_modules`

// npmBound is how long the one preparation with a registry may take.
const npmBound = 5 * time.Minute

// warmNpm returns a directory with a lock file and the cache that it installs
// from, made once with the person's own npm settings and kept in dir.
func warmNpm(dir string) (string, error) {
	kept := filepath.Join(dir, "npm-1")
	if _, err := os.Stat(kept); err == nil {
		return kept, nil
	}
	if _, err := exec.LookPath("npm"); err != nil {
		return "", errors.New("there is no npm on PATH")
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	tmp, err := os.MkdirTemp(dir, "npm-making-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(tmp)
	ctx, cancel := context.WithTimeout(context.Background(), npmBound)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "-c", npmWarm, tmp)
	cmd.WaitDelay = time.Second // npm's own children hold the pipe
	if out, err := cmd.CombinedOutput(); err != nil {
		if ctx.Err() != nil {
			err = fmt.Errorf("no end after %v", npmBound)
		}
		return "", fmt.Errorf("fill a cache from the npm registry, which must answer once: %w: %.500s", err, out)
	}
	return kept, os.Rename(tmp, kept)
}

// placeNpm puts the lock file into the project and the cache into the home, and
// installs once, so that every round finds the older versions in place.
func (p *place) placeNpm(cacheDir string) error {
	kept, err := warmNpm(cacheDir)
	if err != nil {
		return err
	}
	return p.bare("bash", "-c", `set -e
mkdir -p npm "$HOME/.npm"; cp "$0"/package.json "$0"/package-lock.json "$0"/registry npm/; cp -a "$0"/npm/_cacache "$HOME/.npm/"
git add npm; git commit -q -m npm
cd npm; npm ci`+npmOffline, kept)
}

// npmWorks are the two installs. Each starts from the older versions in place.
func npmWorks() []work {
	const in = `cd npm && git checkout -q package.json package-lock.json`
	const older = ` && { [ "$(node -p 'require("./node_modules/eslint/package.json").version')" = 8.56.0 ] || npm ci` + npmOffline + `; }`
	return []work{
		{Name: "npm ci", Kind: "shell", N: 1, Before: in, Script: `cd npm && npm ci` + npmOffline + ` --registry="$(cat registry)"`, Aim: aims{"snapshot": 1.20}},
		{Name: "npm install newer", Kind: "shell", N: 1, Before: in + older, Script: `cd npm && npm install` + npmOffline + ` --registry="$(cat registry)" ` + npmNewer},
	}
}
