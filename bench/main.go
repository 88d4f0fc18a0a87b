// Command bench measures what the gate costs: the same work bare and inside a
// session, for both staging back ends, round by round in turn, and prints one
// table: the ratios of the minima and of the medians, and for each aim whether
// the minima met it. It asserts nothing: speed is a figure, never a test.
//
// It needs bin/countersign (make build), and works in a directory of its own
// that it removes. It keeps a cache of npm packages, which it fills from the
// registry once. Work that this machine cannot do is named and left out.
package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

func main() {
	if run := helping(os.Args[1:]); run != nil {
		if err := run(); err != nil {
			fmt.Fprintln(os.Stderr, "bench:", err)
			os.Exit(1)
		}
		return
	}
	rounds := flag.Int("rounds", 5, "rounds of bare, snapshot, overlay in turn")
	only := flag.String("only", "", "comma-separated groups: exec, bulk, builds, npm, decided, start, ledger, gateway, egress; empty for all; and soak and session-soak, which are asked for by name only")
	minutes := flag.Float64("minutes", 10, "how long a soak lasts")
	bin := flag.String("bin", "bin/countersign", "the program under measurement")
	cache := flag.String("cache", defaultCache(), "where the npm packages are kept between runs")
	flag.Parse()
	if err := measure(*rounds, *minutes, *only, *bin, *cache); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// helping is what a process of the bench beside it does; nil in the bench itself.
func helping(args []string) func() error {
	switch {
	case len(args) > 1 && args[0] == "-inside":
		return func() error { return inside(args[1]) }
	case len(args) > 2 && args[0] == "-busy":
		return func() error { return busyAgent(args[1], args[2]) }
	case len(args) > 1 && args[0] == "-serve":
		return func() error { return serve(args[1:]) }
	case len(args) > 1 && args[0] == "-fetch":
		return func() error { return fetch(args[1]) }
	}
	return nil
}

func defaultCache() string {
	dir, err := os.UserCacheDir()
	if err != nil {
		dir = os.TempDir()
	}
	return filepath.Join(dir, "countersign-bench")
}

// ways are the ways of running a work, in turn.
var ways = []string{"bare", "snapshot", "overlay"}

func measure(rounds int, minutes float64, only, bin, cache string) error {
	p, err := newPlace(bin)
	if err != nil {
		return err
	}
	defer os.RemoveAll(p.root)
	wanted := func(group string) bool { return only == "" || slices.Contains(strings.Split(only, ","), group) }
	chosen, rows, err := p.choose(wanted, cache)
	if err != nil {
		return err
	}
	measured, err := p.series(rounds, chosen)
	if err != nil {
		return err
	}
	rows = append(measured, rows...)
	for _, g := range []struct {
		group string
		run   func() ([]row, error)
	}{
		{"decided", func() ([]row, error) { return p.decided(rounds) }},
		{"start", func() ([]row, error) { return p.start(rounds * 4) }},
		{"ledger", ledgerFigures},
		{"gateway", func() ([]row, error) { return p.gatewayFigures(min(rounds, 3)) }},
		{"egress", func() ([]row, error) { return p.egressFigures(rounds) }},
		{"soak", func() ([]row, error) { return p.soak(minutes) }},
		{"session-soak", func() ([]row, error) { return p.sessionSoak(minutes) }},
	} {
		if !wanted(g.group) || strings.HasSuffix(g.group, "soak") && only == "" {
			continue
		}
		fmt.Fprintln(os.Stderr, g.group)
		more, err := g.run()
		if err != nil {
			return fmt.Errorf("%s: %w", g.group, err)
		}
		rows = append(rows, more...)
	}
	return print(os.Stdout, rows)
}

// choose prepares the works that are wanted, and returns a row for each that
// this machine cannot do.
func (p *place) choose(wanted func(string) bool, cache string) (chosen []work, left []row, err error) {
	all := works()
	if wanted("exec") {
		chosen = append(chosen, all[:4]...)
	}
	if wanted("bulk") {
		chosen = append(chosen, bulk()...)
	}
	if wanted("builds") {
		fmt.Fprintln(os.Stderr, "preparing the builds")
		if err := p.bare("bash", "-c", "go mod download && go build ./..."); err != nil {
			return nil, nil, fmt.Errorf("prepare the builds: %w", err)
		}
		chosen = append(chosen, all[4:]...)
	}
	if !wanted("npm") {
		return chosen, nil, nil
	}
	fmt.Fprintln(os.Stderr, "preparing the installs")
	if err := p.placeNpm(cache); err != nil {
		fmt.Fprintln(os.Stderr, "the installs are left out:", err)
		for _, w := range npmWorks() {
			left = append(left, durations(w.Name, "both", nil, nil, w.Aim["snapshot"]))
		}
		return chosen, left, nil
	}
	return append(chosen, npmWorks()...), nil, nil
}

// series runs the works round by round, in every way in turn.
func (p *place) series(rounds int, works []work) (rows []row, err error) {
	got := map[string]map[string][]time.Duration{}
	for _, way := range ways {
		got[way] = map[string][]time.Duration{}
	}
	for r := range rounds {
		for _, way := range ways {
			if len(works) == 0 {
				return nil, nil
			}
			fmt.Fprintf(os.Stderr, "round %d, %s\n", r+1, way)
			out, err := p.runWorks(way, works)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", way, err)
			}
			for name, d := range out {
				got[way][name] = append(got[way][name], d)
			}
		}
	}
	rows = append(rows, row{what: "memory of a session's process, the most", way: "both", bare: "-", inside: fmt.Sprintf("%.0fMB", middle(p.sessions)), unit: "MB", min: slices.Min(p.sessions), median: middle(p.sessions)})
	for _, w := range works {
		for _, way := range ways[1:] {
			rows = append(rows, durations(w.Name, way, got["bare"][w.Name], got[way][w.Name], w.Aim[way]))
		}
	}
	return rows, nil
}

// runWorks runs every work once, in one process tree, and returns its durations.
func (p *place) runWorks(way string, works []work) (map[string]time.Duration, error) {
	spec, err := p.spec(works)
	if err != nil {
		return nil, err
	}
	args := []string{p.self, "-inside", spec}
	if way != "bare" {
		args = append([]string{p.bin, "run", "--policy", p.policy, "--approver", "none", "--fresh", "--backend", way, "--", "bash", filepath.Join(p.project, "bench-agent.sh")}, args...)
	}
	return p.driven(args)
}

// spec writes down what the driver is to do.
func (p *place) spec(works []work) (string, error) {
	b, err := json.Marshal(works)
	if err != nil {
		return "", err
	}
	path := filepath.Join(p.project, "bench-spec.json")
	return path, os.WriteFile(path, b, 0o644)
}

// driven runs the driver and reads its last line.
func (p *place) driven(args []string) (map[string]time.Duration, error) {
	cmd := exec.Command(args[0], args[1:]...)
	var out bytes.Buffer
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = p.project, p.env, &out, os.Stderr
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	ended, most := make(chan error, 1), 0.0
	go func() { ended <- cmd.Wait() }()
	for run := true; run; {
		select {
		case err := <-ended:
			if err != nil {
				return nil, err
			}
			run = false
		case <-time.After(100 * time.Millisecond):
			most = max(most, float64(resident(cmd.Process.Pid))/megabyte)
		}
	}
	if args[0] == p.bin {
		p.sessions = append(p.sessions, most)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	var got map[string]time.Duration
	return got, json.Unmarshal([]byte(lines[len(lines)-1]), &got)
}
