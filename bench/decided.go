package main

import (
	"os"
	"path/filepath"
	"time"
)

// decided measures an exec of the agent itself that a rule allows: its decision
// is on the disk before it runs. The yardstick is one write with fdatasync on
// the same disk in the same run, and the figure what the gate adds to an exec,
// in such writes.
func (p *place) decided(rounds int) ([]row, error) {
	policy := filepath.Join(p.root, "decided.yaml")
	if err := os.WriteFile(policy, []byte("version: 1\ncommands:\n  - {id: t, verdict: allow, argv: [\"true\"], reason: measures}\n"), 0o644); err != nil {
		return nil, err
	}
	spec, err := p.spec([]work{{Name: "decided", Kind: "exec", N: 300}})
	if err != nil {
		return nil, err
	}
	var bare, gated, sync []time.Duration
	for range rounds {
		b, err := p.driven([]string{p.self, "-inside", spec})
		if err != nil {
			return nil, err
		}
		s, err := fdatasync(filepath.Join(p.root, "state", "yardstick"), 300)
		if err != nil {
			return nil, err
		}
		g, err := p.driven([]string{p.bin, "run", "--policy", policy, "--approver", "none", "--fresh", "--", p.self, "-inside", spec})
		if err != nil {
			return nil, err
		}
		bare, sync, gated = append(bare, b["decided"]), append(sync, s), append(gated, g["decided"])
	}
	return []row{{
		what: "decided exec, added in fdatasyncs of " + short(median(sync)), way: "snapshot", bare: short(median(bare)), inside: short(median(gated)), unit: "x",
		min: float64(minimum(gated)-minimum(bare)) / float64(minimum(sync)), median: float64(median(gated)-median(bare)) / float64(median(sync)),
	}}, nil
}

// fdatasync is the median of n writes of 2 KiB in place, each flushed.
func fdatasync(path string, n int) (time.Duration, error) {
	d, err := flushes(path, n, func(int) {})
	if err != nil {
		return 0, err
	}
	return median(d), nil
}
