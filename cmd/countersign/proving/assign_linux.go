//go:build amd64 || arm64

package proving

import (
	"slices"
	"strings"

	"github.com/countersign/countersign"
	"github.com/countersign/countersign/selftest"
)

// assigner gives each record to the row whose process, or a process that it
// started, was refused. Order is no help: refusals are recorded side by side.
type assigner struct {
	pid     map[int]string    // rows by process
	record  map[string]string // rows by the record of a command
	runs    map[string]string // rows by the command that was approved for them
	records map[string][]string
	allowed map[string]string
}

func newAssigner() *assigner {
	runs := map[string]string{}
	for _, r := range selftest.Table() {
		if len(r.Runs) > 0 {
			runs[strings.Join(r.Runs, "\x00")] = r.Name
		}
	}
	return &assigner{runs: runs, pid: map[int]string{}, record: map[string]string{}, records: map[string][]string{}, allowed: map[string]string{}}
}

// rowOf is the row that a command line tries.
func rowOf(argv []string) string {
	if i := slices.Index(argv, selftest.Command); i >= 0 && i+2 < len(argv) && argv[i+1] == "row" {
		return argv[i+2]
	}
	return ""
}

func (w *assigner) take(r countersign.Record) {
	if r.Action == nil || r.Actor == nil || r.Actor.Peer == nil {
		return
	}
	peer := r.Actor.Peer
	row := rowOf(peer.Argv)
	if row == "" {
		row = w.record[r.Parent]
	}
	if row == "" {
		row = w.pid[peer.PID]
	}
	if row == "" { // what such a command starts without cover
		row = w.runs[strings.Join(peer.Argv, "\x00")]
	}
	switch {
	case r.Type == "exec.decided" && r.Decision != nil:
		w.command(r, row)
	case strings.HasSuffix(r.Type, ".denied") && row != "":
		what := r.Action.Op
		if r.Type == "net.denied" {
			what = r.Action.Host
		}
		for range count(r) {
			w.records[row] = append(w.records[row], r.Type+" "+what)
		}
	}
}

// command notes whose a command is, and what was not let go.
func (w *assigner) command(r countersign.Record, row string) {
	if started := rowOf(r.Action.Argv); started != "" && row == "" {
		w.pid[r.Actor.Peer.PID], w.record[r.ID] = started, started
		return
	}
	if row == "" {
		return
	}
	w.pid[r.Actor.Peer.PID], w.record[r.ID] = row, row
	switch {
	case r.Decision.Verdict != countersign.Allow:
		w.records[row] = append(w.records[row], "exec.decided "+string(r.Decision.Verdict))
	case r.Decision.Basis == countersign.ByPolicy && r.Policy != nil:
		w.allowed[row] = r.Policy.Rule
	}
}

// count is how many equal attempts a record stands for.
func count(r countersign.Record) int {
	if n, ok := r.Detail["count"].(float64); ok {
		return int(n)
	}
	return 1
}
