package sandbox

import (
	"os"
	"testing"
	"time"
)

func TestProbe(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	at := time.Now()
	p := Probe(t.Context(), exe)
	t.Log(time.Since(at))
	for _, m := range p.Mechanisms {
		t.Logf("%-12s %-8s %s [%s]", m.Name, m.State, m.Detail, m.Remedy)
	}
	if p.Tier != "A" && p.Tier != "A-masked" {
		t.Fatalf("tier %s: this machine cannot test the sandbox", p.Tier)
	}
}
