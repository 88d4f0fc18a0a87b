package selftest

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// page is docs/limits.md: what the table proves, and what it cannot.
func page(rows []Row, limits []Limit) string {
	var b strings.Builder
	b.WriteString(`# What is enforced, and what is not

This page is made of the attack table (` + "`selftest/`" + `) and of the limits beside it; a test fails when it is stale.
` + "`countersign selftest`" + ` tries every row on your machine, in a session of its own posture and policy, and puts each result on
record: what this page says of a platform in general, that says of your machine today. What each platform needs is in
[platforms.md](platforms.md), why each mechanism is there in [threat-model.md](threat-model.md).

## By platform

How many rows are stopped, and for how many the record is held against what was tried, to the number. The first two columns
are what the tests see (TestSelftest and TestSelftestWithoutFuse of ` + "`e2e`" + `).

| door | rows | Linux, tier A | Linux, tier A-masked | Linux, tiers B and C | macOS, Windows |
|---|---|---|---|---|---|
`)
	for _, door := range []string{Files, Git, Commands, Processes, Kernel, Network, Model, Controls} {
		n, seen, masked := 0, 0, 0
		for _, r := range rows {
			if r.Door != door {
				continue
			}
			n++
			if len(r.Records) > 0 {
				seen++
			}
			if len(r.Records) > 0 && !seenByNodes(r.Records[0]) {
				masked++
			}
		}
		fmt.Fprintf(&b, "| %s | %d | %d stopped, %d recorded exactly | %d stopped, %d recorded exactly | nothing starts | not enforced: nothing starts |\n", door, n, n, seen, n, masked)
	}
	b.WriteString("\n## What is not enforced\n\n| where | what | what then | shown by |\n|---|---|---|---|\n")
	for _, l := range limits {
		where, shown := l.Where, "said, not tested"
		if where == "" {
			where = "everywhere"
		}
		if l.Shown != "" {
			shown = "`" + l.Shown + "`"
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", where, l.What, l.Then, shown)
	}
	b.WriteString("\nStopped, but without a record, for nothing of ours is asked:\n\n")
	list(&b, rows, func(r Row) string {
		if len(r.Records) == 0 && r.Unrecorded == "" && r.Real == "" {
			return r.Tries
		}
		return ""
	})
	b.WriteString("\nStopped, with records that are not compared:\n\n")
	list(&b, rows, func(r Row) string { return r.Unrecorded })
	b.WriteString("\nNot tried without the control, so that the record alone shows whose refusal it was:\n\n")
	list(&b, rows, func(r Row) string { return r.Bare })
	b.WriteString(`
## Every row

*Proven* says how: *triple*, the attempt works where no control stands (` + "`TestBare`" + `, as root and as an ordinary user), is
refused inside, and is on record exactly as often as it was made; *pair*, the same without a record; *record*, refused
inside with exactly one record, and not tried without the control; *answer*, by what was answered.

| row | tries | must meet | control | invariant | proven |
|---|---|---|---|---|---|
`)
	for _, r := range rows {
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %d | %s |\n", r.Name, r.Tries, r.expected(), r.Control, r.Invariant, r.proven())
	}
	return b.String()
}

func (r Row) proven() string {
	switch {
	case r.Bare == "" && len(r.Records) > 0:
		return "triple"
	case r.Bare == "":
		return "pair"
	case len(r.Records) > 0:
		return "record"
	}
	return "answer"
}

// list writes the rows that have a word to say, by that word.
func list(b *strings.Builder, rows []Row, word func(Row) string) {
	var order []string
	names := map[string][]string{}
	for _, r := range rows {
		w := word(r)
		if w == "" {
			continue
		}
		if names[w] == nil {
			order = append(order, w)
		}
		names[w] = append(names[w], "`"+r.Name+"`")
	}
	for _, w := range order {
		fmt.Fprintf(b, "- %s: %s\n", w, strings.Join(names[w], ", "))
	}
}

// The page follows the table: COUNTERSIGN_WRITE_DOCS=1 writes it.
func TestThePageFollowsTheTable(t *testing.T) {
	want := page(Table(), Limits())
	if os.Getenv("COUNTERSIGN_WRITE_DOCS") == "1" {
		if err := os.WriteFile("../docs/limits.md", []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := os.ReadFile("../docs/limits.md"); err != nil || string(got) != want {
		t.Errorf("docs/limits.md is not what the table says (%v): COUNTERSIGN_WRITE_DOCS=1 go test ./selftest", err)
	}
}

// What a limit names as its test is one.
func TestLimitsAreShown(t *testing.T) {
	for _, l := range Limits() {
		if l.What == "" || l.Then == "" {
			t.Errorf("%+v says too little", l)
		}
		if l.Shown == "" {
			continue
		}
		room, name, _ := strings.Cut(l.Shown, ".")
		files, err := filepath.Glob(filepath.Join("..", room, "*_test.go"))
		if err != nil {
			t.Fatal(err)
		}
		found := false
		for _, f := range files {
			src, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			found = found || strings.Contains(string(src), "\nfunc "+name+"(t *testing.T)")
		}
		if !found {
			t.Errorf("%s: there is no such test", l.Shown)
		}
	}
}
