package reading

import (
	"strings"
	"testing"

	"github.com/countersign/countersign"
)

// What a person reads of a record says what came of it.
func TestDescribe(t *testing.T) {
	canary := func(state, status string) countersign.Record {
		return countersign.Record{
			Type: "canary.result", Session: "7k2mfpaz", Action: &countersign.ActionRecord{Summary: "read the ledger"},
			Outcome: &countersign.Outcome{Status: status}, Detail: map[string]any{"row": "ledger-read", "state": state},
		}
	}
	one := 1
	for _, tt := range []struct {
		name string
		rec  countersign.Record
		want string // after the number and the time
	}{
		{"an attempt that was stopped", canary("blocked", "ok"), "7k2mfpaz  canary.result       blocked  ledger-read:  read the ledger"},
		{"one that was not", canary("got through", "failed"), "7k2mfpaz  canary.result       got through  ledger-read:  read the ledger"},
		{"the attempt itself", countersign.Record{
			Type: "file.denied", Session: "7k2mfpaz", Canary: true, Action: &countersign.ActionRecord{Summary: "read x"}, Outcome: &countersign.Outcome{Status: "refused"},
		}, "7k2mfpaz  file.denied         refused  read x  (self-test)"},
		{"nothing behind the type", countersign.Record{Type: "ledger.opened"}, "          ledger.opened"},
		{"what was taken away", countersign.Record{
			Type: "ledger.recovered", Detail: map[string]any{"lost_payloads": []any{7.0}, "missing_payloads": []any{8.0, 9.0}},
		}, "          ledger.recovered    a power cut took payloads of records [7]  without a power cut payloads are gone of records [8 9]"},
		{"a command that failed", countersign.Record{
			Type: "exec.finished", Session: "7k2mfpaz", Outcome: &countersign.Outcome{Status: "failed", Exit: &one}, Action: &countersign.ActionRecord{Summary: "cat x"},
		}, "7k2mfpaz  exec.finished       failed 1  cat x"},
		{"what is given up", countersign.Record{
			Type: "exec.decided", Session: "7k2mfpaz", Decision: &countersign.DecisionRecord{Verdict: countersign.Allow, Basis: countersign.ByPerson, By: "ann", GivesUp: "the seal"},
			Action: &countersign.ActionRecord{Summary: "strace x"}, Policy: &countersign.PolicyRecord{Rule: "dbg"},
		}, "7k2mfpaz  exec.decided        allow (person ann)  strace x  [dbg]  gives up the seal"},
	} {
		tt.rec.T.Wall = "at"
		if got := strings.TrimPrefix(Describe(tt.rec), "     0  at  "); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}
