package lending

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/countersign/countersign"
)

func TestEnvironment(t *testing.T) {
	base := []string{"HOME=/h", "PATH=/usr/bin:/h/bin:bin:/p/bin:/opt/x", "LANG=C", "GOPATH=/h/go", "PWD=/x", "DB=plain", "NODE_ENV=base", "DOTNET_EnableDiagnostics=1"}
	writable := func(p string) bool { return strings.HasPrefix(p, "/h") || strings.HasPrefix(p, "/p") }
	e := &countersign.Exec{
		Cwd: "/p", Env: []string{"HOME=/h", "PATH=/p/bin", "LD_PRELOAD=/p/x", "NODE_ENV=test", "DB=agent's"},
		Lends: []countersign.Lend{{Name: "DB", Env: []string{"NODE_ENV", "ABSENT"}}},
	}
	want := []string{"DB=secret=1", "DOTNET_EnableDiagnostics=0", "HOME=/nonexistent", "LANG=C", "NODE_ENV=test", "PATH=/usr/bin:/opt/x", "PWD=/p"}
	if diff := cmp.Diff(want, environment(base, e, "/h", writable, []string{"DB=secret=1"})); diff != "" {
		t.Error(diff)
	}
	e.Lends[0].Env = []string{"HOME", "PATH"}
	want = []string{"DB=s", "DOTNET_EnableDiagnostics=0", "HOME=/h", "LANG=C", "NODE_ENV=base", "PATH=/p/bin", "PWD=/p"}
	if diff := cmp.Diff(want, environment(base, e, "/h", writable, []string{"DB=s"})); diff != "" {
		t.Error(diff)
	}
}

func TestDocument(t *testing.T) {
	d, err := Document([]string{"A=env:X", "B=cmd:pass 'show it'"}, []string{"npm run 'my migration'", "make deploy"})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range d.Lend {
		got = append(got, r.ID+" "+r.Name+" "+r.From+" "+strings.Join(r.Argv, "|"))
	}
	want := []string{"lend-1 A env:X npm|run|my migration", "lend-2 A env:X make|deploy", "lend-3 B cmd:pass 'show it' npm|run|my migration", "lend-4 B cmd:pass 'show it' make|deploy"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if d, err := Document(nil, nil); d != nil || err != nil {
		t.Error(d, err)
	}
	for _, bad := range [][2][]string{{{"A=env:X"}, nil}, {nil, {"x"}}, {{"hunter2hunter2"}, {"x"}}, {{"A=hunter2hunter2"}, {"x"}}, {{"A=env:X"}, {"a; b"}}, {{"A=env:X"}, {"*"}}} {
		if _, err := Document(bad[0], bad[1]); err == nil || strings.Contains(err.Error()+countersign.RemedyOf(err), "hunter2") {
			t.Errorf("%q: %v", bad, err)
		}
	}
}
