package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// decided measures an exec of the agent itself that a rule allows: its decision
// is on the disk before it runs. The yardstick is one write with fdatasync on
// the same disk in the same run.
func (p *place) decided() error {
	policy := filepath.Join(p.root, "decided.yaml")
	if err := os.WriteFile(policy, []byte("version: 1\ncommands:\n  - {id: t, verdict: allow, argv: [\"true\"], reason: measures}\n"), 0o644); err != nil {
		return err
	}
	spec := filepath.Join(p.project, "decided-spec.json")
	b, err := json.Marshal([]work{{Name: "decided", Kind: "exec", N: 300}})
	if err != nil {
		return err
	}
	if err := os.WriteFile(spec, b, 0o644); err != nil {
		return err
	}
	var bare, gated []time.Duration
	for range 5 {
		for _, args := range [][]string{{p.self}, {p.bin, "run", "--policy", policy, "--approver", "none", "--fresh", "--", p.self}} {
			cmd := exec.Command(args[0], append(args[1:], "-inside", spec)...)
			cmd.Dir, cmd.Env = p.project, p.env
			out, err := cmd.Output()
			if err != nil {
				return err
			}
			var got map[string]time.Duration
			if err := json.Unmarshal(out, &got); err != nil {
				return err
			}
			if len(args) == 1 {
				bare = append(bare, got["decided"])
			} else {
				gated = append(gated, got["decided"])
			}
		}
	}
	sync, err := fdatasync(filepath.Join(p.root, "state", "yardstick"), 300)
	if err != nil {
		return err
	}
	added := median(gated) - median(bare)
	fmt.Printf("decided exec: bare %v, gated %v; it adds %.2f x one fdatasync (p50 %v)\n", median(bare).Round(time.Microsecond), median(gated).Round(time.Microsecond), float64(added)/float64(sync), sync.Round(time.Microsecond))
	return nil
}

// fdatasync is the median of n writes of 2 KiB in place, each flushed.
func fdatasync(path string, n int) (time.Duration, error) {
	f, err := os.Create(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	buf := make([]byte, 2048)
	var d []time.Duration
	for range n {
		t := time.Now()
		if _, err := f.WriteAt(buf, 0); err != nil {
			return 0, err
		}
		if err := fdatasyncFile(f); err != nil {
			return 0, err
		}
		d = append(d, time.Since(t))
	}
	return median(d), nil
}

// ledgerFigures prints commit against fdatasync, the cost of an append, and the
// speed of a verification, as the ledger's own benchmarks measure them.
func ledgerFigures() error {
	cmd := exec.Command("go", "test", "-run", "^$", "-bench", "Commit|Append|Verify", "./ledger")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	return cmd.Run()
}
