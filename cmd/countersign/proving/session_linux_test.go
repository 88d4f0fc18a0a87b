//go:build amd64 || arm64

package proving

import (
	"testing"

	"github.com/countersign/countersign"
	"github.com/countersign/countersign/selftest"
)

// What lies where the attacker did, and is another program, is approved nothing.
func TestApproverKnowsTheAttacker(t *testing.T) {
	g := &selftest.Ground{Exe: "/root/bin/countersign"}
	yes := approver(g, "aa")
	ask := func(sum string) bool {
		e := countersign.Exec{Argv: []string{g.Exe, selftest.Command, "row", "x"}, Exe: countersign.Executable{Path: g.Exe, SHA256: sum}}
		return yes(countersign.Request{Action: countersign.Action{Exec: &e}})
	}
	if !ask("aa") || ask("bb") {
		t.Error(ask("aa"), ask("bb"))
	}
}
