package gate

import (
	"context"
	"fmt"
	"testing"

	countersign "github.com/countersign/countersign"
)

// BenchmarkCovered is what the gate itself adds to each exec below an approved
// command, without the ledger.
func BenchmarkCovered(b *testing.B) {
	g, _ := newGate(&testing.T{}, rules{}, func(c *Config) { c.Ledger = void{} })
	a := under(exec("cc1", "-quiet", "-I", "/usr/include", "main.c", "-o", "/tmp/x.s"), "id9")
	for i := range 35 {
		a.Exec.Env = append(a.Exec.Env, fmt.Sprintf("VARIABLE_%d=/some/path/of/usual/length/%d", i, i))
	}
	a.Peer.Argv = []string{"make", "-j2", "all"}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := g.Exec(context.Background(), a); err != nil {
			b.Fatal(err)
		}
	}
}

type void struct{}

func (void) Append(_ context.Context, r countersign.Record, _ bool) (countersign.Receipt, error) {
	return countersign.Receipt{ID: r.ID}, nil
}

func (void) Blob(context.Context, string, string, []byte) (countersign.Payload, error) {
	return countersign.Payload{}, nil
}
