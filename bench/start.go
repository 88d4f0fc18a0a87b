package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// start measures `countersign run -- true` against `true` on a repository of
// 3,000 files of which a snapshot is kept, and beside it what copying it costs.
func (p *place) start(n int) ([]row, error) {
	project := filepath.Join(p.home, "plain")
	if err := files(project, 3000); err != nil {
		return nil, err
	}
	timed := func(name string, args ...string) (time.Duration, error) {
		cmd := exec.Command(name, args...)
		cmd.Dir, cmd.Env = project, p.env
		t := time.Now()
		out, err := cmd.CombinedOutput()
		if err != nil {
			err = fmt.Errorf("%s: %w: %s", name, err, out)
		}
		return time.Since(t), err
	}
	if _, err := timed("bash", "-c", "git init -q && git add -A && git commit -q -m start"); err != nil {
		return nil, err
	}
	var bare, run, cp []time.Duration
	for i := range n + 1 { // the first makes the snapshot
		b, err := timed("true")
		if err != nil {
			return nil, err
		}
		r, err := timed(p.bin, "run", "--approver", "none", "--", "true")
		if err != nil {
			return nil, err
		}
		if i > 0 {
			bare, run = append(bare, b), append(run, r)
		}
	}
	for range 3 {
		to := filepath.Join(p.root, "cp")
		c, err := timed("cp", "-a", ".", to)
		if err != nil {
			return nil, err
		}
		cp = append(cp, c)
		if err := os.RemoveAll(to); err != nil {
			return nil, err
		}
	}
	return []row{{
		what: "start on 3,000 files, added (one cp -a: " + short(minimum(cp)) + ")", way: "snapshot", bare: short(median(bare)), inside: short(median(run)), unit: "ms", aim: 150,
		min: ms(minimum(run) - minimum(bare)), median: ms(median(run) - median(bare)),
	}}, nil
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// files makes n small text files, fifty to a directory.
func files(dir string, n int) error {
	for i := range n {
		sub := filepath.Join(dir, "data", fmt.Sprintf("d%02d", i/50))
		if err := os.MkdirAll(sub, 0o755); err != nil {
			return err
		}
		line := fmt.Sprintf("line of file %d with some words in it\n", i)
		if err := os.WriteFile(filepath.Join(sub, fmt.Sprintf("f%04d.txt", i)), []byte(strings.Repeat(line, 100+i%400)), 0o644); err != nil {
			return err
		}
	}
	return nil
}
