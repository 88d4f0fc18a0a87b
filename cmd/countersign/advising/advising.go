// Package advising helps a person write policy: it tries the examples of every
// rule, holds a policy against what the record says has been, proposes rules from
// it, compares two policies, and says one to macOS's sandbox. It reads the ledger
// and policy files, prints, and adopts nothing.
package advising

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/countersign/countersign"
	"github.com/countersign/countersign/cmd/countersign/base"
	"github.com/countersign/countersign/internal/count"
	"github.com/countersign/countersign/ledger"
	"github.com/countersign/countersign/policy"
	"github.com/countersign/countersign/policy/history"
	"github.com/countersign/countersign/policy/suggest"
)

// Of says which part of the record is looked at.
type Of struct {
	base.PolicyFrom
	Since time.Time
	All   bool // of every project, not only of PolicyFrom's
}

// Test tries every example of every layer and says which fail.
func Test(a *base.App, from base.PolicyFrom) error {
	docs, _, err := a.Layers(from)
	if err != nil {
		return err
	}
	all, err := policy.Examples(docs...)
	if err != nil {
		return err
	}
	failed := []policy.Tried{}
	for _, x := range all {
		if !x.OK {
			failed = append(failed, x)
		}
	}
	if a.JSON {
		if err := a.Data(map[string]any{"examples": len(all), "failed": failed}); err != nil {
			return err
		}
	}
	for _, x := range failed {
		what := "does not match, and should"
		if !x.Match {
			what = "matches, and must not"
		}
		if !a.JSON {
			fmt.Fprintf(a.Out, "FAIL %s %s: %s %s\n", base.Plain(x.Pos), x.Rule, base.Plain(x.Example), what)
		}
	}
	if len(failed) > 0 {
		return &countersign.Error{Code: countersign.EInvalid, Op: "test policy", Err: fmt.Errorf("%d of %s fail", len(failed), count.Of(len(all), "example")), Remedy: "correct the rule or the example"}
	}
	if _, err := policy.Compile(docs...); err != nil {
		return err
	}
	if !a.JSON {
		fmt.Fprintf(a.Out, "ok %s\n", count.Of(len(all), "example"))
	}
	return nil
}

// asked are the types of record that policy was asked about, and what names a
// session's project.
var asked = [][]byte{[]byte(`"exec.decided"`), []byte(`"file.denied"`), []byte(`"net.`), []byte(`"model.request"`), []byte(`"session.started"`)}

// past reads what has been of the record.
func past(a *base.App, of Of) ([]history.Past, error) {
	r, err := ledger.OpenReader(a.LedgerDir())
	if errors.Is(err, os.ErrNotExist) {
		a.Say("there is no ledger yet in %s", a.LedgerDir())
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var out []history.Past
	here := map[string]bool{}
	for line, err := range r.All() {
		if err != nil {
			return nil, err
		}
		if !slices.ContainsFunc(asked, func(typ []byte) bool { return bytes.Contains(line, typ) }) {
			continue
		}
		var rec countersign.Record
		if err := json.Unmarshal(line, &rec); err != nil {
			return nil, fmt.Errorf("read record: %w", err)
		}
		if rec.Type == "session.started" && rec.Action != nil {
			here[rec.Session] = of.All || rec.Action.Cwd == of.Project
		}
		if p, ok := history.Of(rec); ok && here[rec.Session] && !p.When.Before(of.Since) {
			out = append(out, p)
		}
	}
	return out, nil
}

// Simulate holds a policy against what has been.
func Simulate(a *base.App, of Of) error {
	p, _, err := a.ReadPolicy(of.PolicyFrom)
	if err != nil {
		return err
	}
	all, err := past(a, of)
	if err != nil {
		return err
	}
	rep := history.Replay(all, p)
	if a.JSON {
		return a.Data(struct {
			Policy string `json:"policy"`
			Preset string `json:"preset"`
			history.Report
		}{p.Bundle(), p.Preset(), rep})
	}
	fmt.Fprintf(a.Out, "%s, %d would be answered otherwise", count.Of(rep.Actions, "action"), rep.Changed)
	for i, what := range slices.Sorted(maps.Keys(rep.Totals)) {
		sep := ", "
		if i == 0 {
			sep = ": "
		}
		fmt.Fprintf(a.Out, "%s%d %s", sep, rep.Totals[what], what)
	}
	fmt.Fprintln(a.Out)
	if rep.Skipped > 0 {
		a.Say("%s kept only in part (cut, or with a secret marked) and not asked about", count.Of(rep.Skipped, "action"))
	}
	w := tabwriter.NewWriter(a.Out, 0, 4, 2, ' ', 0)
	for _, c := range rep.Changes {
		what := base.Plain(c.Summary)
		if len(c.Argv) > 0 {
			what = base.Words(c.Argv)
		}
		if c.Covered {
			what += "  (below an approved command)"
		}
		fmt.Fprintf(w, "%d ×\t%s to %s\t%s\t%s\n", c.Count, c.Was, c.Now, c.NowRule, what)
	}
	return w.Flush()
}

// Suggest proposes rules from what has been approved; least is how often.
func Suggest(a *base.App, of Of, least int) error {
	now, _, err := a.ReadPolicy(of.PolicyFrom)
	if err != nil {
		return err
	}
	all, err := past(a, of)
	if err != nil {
		return err
	}
	proposals, left := suggest.From(all, suggest.Options{Least: least, Now: now, Try: func(argv []string) (history.Judge, error) {
		return alone(a, of.Project, []suggest.Proposal{{ID: "tried", Argv: argv, Reason: "tried"}})
	}})
	if _, err := alone(a, of.Project, proposals); err != nil {
		return err
	}
	if a.JSON {
		return a.Data(map[string]any{"proposals": append([]suggest.Proposal{}, proposals...), "left": append([]suggest.Left{}, left...)})
	}
	if len(proposals) == 0 {
		a.Say("no command was approved %d times and could be a rule", least)
	}
	_, err = fmt.Fprint(a.Out, suggest.YAML(proposals, left))
	return err
}

// alone is a policy of these rules and no other, read as it would be from a file.
func alone(a *base.App, project string, ps []suggest.Proposal) (*policy.Policy, error) {
	doc, err := policy.Parse(policy.LayerUser, "suggestion", []byte(suggest.YAML(ps, nil)))
	if err != nil {
		return nil, err
	}
	p, err := policy.Compile(doc)
	if err != nil {
		return nil, err
	}
	return p.At(project, a.Getenv("HOME")), nil
}

// difference is one element of `policy diff --json`: a contract.
type difference struct {
	What string          `json:"what"` // section, and the id of a rule
	Was  json.RawMessage `json:"was"`  // null: was not there
	Now  json.RawMessage `json:"now"`  // null: is not there
}

// Diff compares two policy files, rule by rule, each as a user's layer.
func Diff(a *base.App, was, now string) error {
	var said [2]map[string]string
	for i, file := range []string{was, now} {
		src, err := os.ReadFile(file)
		if err != nil {
			return base.Unreadable(file, err)
		}
		doc, err := policy.Parse(policy.LayerUser, file, src)
		if err != nil {
			return err
		}
		said[i] = doc.Said()
	}
	keys := map[string]bool{}
	for _, m := range said {
		for k := range m {
			keys[k] = true
		}
	}
	out := []difference{}
	for _, k := range slices.Sorted(maps.Keys(keys)) {
		if said[0][k] != said[1][k] {
			out = append(out, difference{k, raw(said[0][k]), raw(said[1][k])})
		}
	}
	if a.JSON {
		return a.Data(out)
	}
	for _, d := range out {
		if d.Was != nil {
			fmt.Fprintf(a.Out, "- %s %s\n", d.What, base.Plain(string(d.Was)))
		}
		if d.Now != nil {
			fmt.Fprintf(a.Out, "+ %s %s\n", d.What, base.Plain(string(d.Now)))
		}
	}
	return nil
}

func raw(s string) json.RawMessage {
	if strings.TrimSpace(s) == "" {
		return nil
	}
	return json.RawMessage(s)
}
