// Command bench measures what the gate costs: the same work bare and inside a
// session, for both staging back ends, round by round in turn, and prints the
// ratios of the minima and of the medians. It asserts nothing: speed is a
// figure, never a test.
//
// It needs bin/countersign (make build), and works in a directory of its own
// that it removes. Work that this machine cannot do is named and left out.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"
	"text/tabwriter"
	"time"
)

func main() {
	if len(os.Args) > 2 && os.Args[1] == "-inside" {
		if err := inside(os.Args[2], os.Args[3:]); err != nil {
			fmt.Fprintln(os.Stderr, "bench:", err)
			os.Exit(1)
		}
		return
	}
	rounds := flag.Int("rounds", 5, "rounds of bare, snapshot, overlay in turn")
	only := flag.String("only", "", "comma-separated names of what to measure; empty for all")
	bin := flag.String("bin", "bin/countersign", "the program under measurement")
	flag.Parse()
	if err := measure(*rounds, *only, *bin); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// series is the durations of one work in one way of running it.
type series map[string][]time.Duration

func measure(rounds int, only, bin string) error {
	p, err := newPlace(bin)
	if err != nil {
		return err
	}
	defer os.RemoveAll(p.root)
	works := p.works(only)
	for _, w := range works {
		if w.prepare != "" {
			fmt.Fprintf(os.Stderr, "preparing %s\n", w.Name)
			if err := p.bare("bash", "-c", w.prepare); err != nil {
				return fmt.Errorf("prepare %s: %w", w.Name, err)
			}
		}
	}
	ways := []string{"bare", "snapshot", "overlay"}
	got := map[string]series{}
	for _, way := range ways {
		got[way] = series{}
	}
	for r := range rounds {
		for _, way := range ways {
			if len(works) == 0 {
				break
			}
			fmt.Fprintf(os.Stderr, "round %d, %s\n", r+1, way)
			out, err := p.runWorks(way, works)
			if err != nil {
				return fmt.Errorf("%s: %w", way, err)
			}
			for name, d := range out {
				got[way][name] = append(got[way][name], d)
			}
		}
	}
	if len(works) > 0 {
		table(works, got)
	}
	if wanted(only, "decided") {
		if err := p.decided(); err != nil {
			return err
		}
	}
	if wanted(only, "ledger") {
		if err := ledgerFigures(); err != nil {
			return err
		}
	}
	if wanted(only, "start") {
		if err := p.start(rounds * 4); err != nil {
			return err
		}
	}
	return nil
}

func wanted(only, name string) bool {
	if only == "" {
		return true
	}
	for _, o := range strings.Split(only, ",") {
		if o == name {
			return true
		}
	}
	return false
}

// table prints min/median ratios against bare.
func table(works []work, got map[string]series) {
	w := tabwriter.NewWriter(os.Stdout, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "work\tbare median\tsnapshot min / median\toverlay min / median")
	for _, k := range works {
		bare := got["bare"][k.Name]
		if len(bare) == 0 {
			fmt.Fprintf(w, "%s\tnot measured\t\t\n", k.Name)
			continue
		}
		fmt.Fprintf(w, "%s\t%v\t%s\t%s\n", k.Name, median(bare).Round(10*time.Microsecond), ratio(got["snapshot"][k.Name], bare), ratio(got["overlay"][k.Name], bare))
	}
	w.Flush()
}

func ratio(a, b []time.Duration) string {
	if len(a) == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f / %.2f", float64(minimum(a))/float64(minimum(b)), float64(median(a))/float64(median(b)))
}

func sorted(d []time.Duration) []time.Duration {
	s := append([]time.Duration(nil), d...)
	sort.Slice(s, func(i, j int) bool { return s[i] < s[j] })
	return s
}

func minimum(d []time.Duration) time.Duration { return sorted(d)[0] }

func median(d []time.Duration) time.Duration { return sorted(d)[len(d)/2] }

// runWorks runs every work once, in one process tree, and returns its durations.
func (p *place) runWorks(way string, works []work) (map[string]time.Duration, error) {
	spec := filepath.Join(p.project, "bench-spec.json")
	b, err := json.Marshal(works)
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(spec, b, 0o644); err != nil {
		return nil, err
	}
	args := []string{p.self, "-inside", spec}
	if way != "bare" {
		args = append([]string{p.bin, "run", "--policy", p.policy, "--approver", "none", "--fresh", "--backend", way, "--", "bash", filepath.Join(p.project, "bench-agent.sh")}, args...)
	}
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Dir, cmd.Env, cmd.Stderr = p.project, p.env, os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, err
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	var got map[string]time.Duration
	return got, json.Unmarshal([]byte(lines[len(lines)-1]), &got)
}

// start measures `countersign run -- true` against `true`, with a kept snapshot.
func (p *place) start(n int) error {
	var bare, run []time.Duration
	for range n {
		for _, args := range [][]string{{"true"}, {p.bin, "run", "--approver", "none", "--", "true"}} {
			cmd := exec.Command(args[0], args[1:]...)
			cmd.Dir, cmd.Env, cmd.Stderr = p.project, p.env, os.Stderr
			t := time.Now()
			if err := cmd.Run(); err != nil {
				return err
			}
			if args[0] == "true" {
				bare = append(bare, time.Since(t))
			} else {
				run = append(run, time.Since(t))
			}
		}
	}
	fmt.Printf("start of run -- true on 3,000 files, over bare: min %v, median %v\n", (minimum(run) - minimum(bare)).Round(time.Millisecond), (median(run) - median(bare)).Round(time.Millisecond))
	cp := exec.Command("bash", "-c", `time -p cp -a . "$0"`, filepath.Join(p.root, "cp"))
	cp.Dir = p.project
	t := time.Now()
	if err := cp.Run(); err != nil {
		return err
	}
	fmt.Printf("one cp -a of the same tree: %v\n", time.Since(t).Round(time.Millisecond))
	return nil
}
