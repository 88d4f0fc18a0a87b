// Package limits is "models.budgets" of a policy: what models may cost, how many
// tokens they may use and how often they may be asked, per session, project or
// user, in each window of time.
//
// It promises that every limit of every layer holds, so that a layer can only
// narrow; and that a limit which could bound nothing is an error.
//
// It is pure, as package policy is.
package limits

import (
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"

	countersign "github.com/countersign/countersign"
	"github.com/countersign/countersign/internal/strictyaml"
	"github.com/countersign/countersign/internal/usd"
	"github.com/countersign/countersign/policy/fence"
)

// Limit is one as written.
type Limit struct {
	ID       string   `json:"id"`
	Per      string   `json:"per"`
	Window   string   `json:"window,omitempty"`
	USD      int64    `json:"usd,omitempty"` // 10⁻⁹ US dollars
	Tokens   int64    `json:"tokens,omitempty"`
	Requests int64    `json:"requests,omitempty"`
	Models   []string `json:"models,omitempty"` // patterns of "provider/model"; empty: all
	Unpriced string   `json:"unpriced,omitempty"`
	Reason   string   `json:"reason"`

	At strictyaml.Pos `json:"-"`
}

var (
	pers    = []string{"session", "project", "user"}
	windows = []string{"minute", "hour", "day", "week", "month"}
)

// maxCount bounds a number of tokens or requests.
const maxCount = 1_000_000_000_000

// Read reads the list. id and patterns read what other sections have too.
func Read(r *strictyaml.Reader, n ast.Node, id func(ast.Node) string, patterns func(ast.Node) []string) []Limit {
	var out []Limit
	for _, v := range r.List(n, "models.budgets") {
		out = append(out, read(r, v, id, patterns))
	}
	return out
}

func read(r *strictyaml.Reader, n ast.Node, id func(ast.Node) string, patterns func(ast.Node) []string) Limit {
	l := Limit{At: strictyaml.PosOf(n)}
	const what = "models.budgets"
	r.Mapping(n, what, []strictyaml.Field{
		{Name: "id", Read: func(n ast.Node) { l.ID = id(n) }},
		{Name: "per", Read: func(n ast.Node) { l.Per = r.OneOf(n, "per", pers...) }},
		{Name: "window", Read: func(n ast.Node) { l.Window = r.OneOf(n, "window", windows...) }},
		{Name: "usd", Read: func(n ast.Node) { l.USD = money(r, n) }},
		{Name: "tokens", Read: func(n ast.Node) { l.Tokens = int64(r.Number(n, "tokens", 1, maxCount)) }},
		{Name: "requests", Read: func(n ast.Node) { l.Requests = int64(r.Number(n, "requests", 1, maxCount)) }},
		{Name: "models", Read: func(n ast.Node) {
			if l.Models = patterns(n); len(l.Models) == 0 {
				r.Fail(n, "name models, or leave it out for all", "models: is empty")
			}
		}},
		{Name: "unpriced", Read: func(n ast.Node) { l.Unpriced = r.OneOf(n, "unpriced", "deny", "allow") }},
		{Name: "reason", Read: func(n ast.Node) {
			if l.Reason = r.Text(n, "reason"); strings.TrimSpace(l.Reason) == "" {
				r.Fail(n, "say why", "reason: is empty")
			}
		}},
	})
	need := func(name string, have bool) {
		if !have {
			r.Fail(n, "add "+name, "%s: a limit needs %s", what, name)
		}
	}
	need("id", l.ID != "")
	need("per", l.Per != "")
	need("usd, tokens or requests", l.USD > 0 || l.Tokens > 0 || l.Requests > 0)
	need("window: one of "+strings.Join(windows, ", "), l.Window != "" || l.Per == "session")
	need("reason", l.Reason != "")
	if l.Unpriced != "" && l.USD == 0 {
		r.Fail(n, "remove unpriced", "%s: %s bounds no money, so a price does not matter", what, l.ID)
	}
	return l
}

func money(r *strictyaml.Reader, n ast.Node) int64 {
	var s string
	switch n.(type) {
	case *ast.IntegerNode, *ast.FloatNode, *ast.StringNode:
		s = n.GetToken().Value
	}
	v, err := usd.Parse(s)
	switch {
	case err != nil:
		r.Fail(n, err.Error(), "usd: %q is no amount", s)
	case v == 0:
		r.Fail(n, "models.deny refuses models altogether", "usd: must be more than 0")
	}
	return int64(v)
}

// Compile makes the limit ready to be asked; by is what its refusals say.
func (l *Limit) Compile(by countersign.Ruling) (countersign.Limit, error) {
	out := countersign.Limit{
		Ruling: by, Per: l.Per, Window: l.Window, NanoUSD: l.USD, Tokens: l.Tokens, Requests: l.Requests, Unpriced: l.Unpriced == "allow",
		Covers: func(_, _ string) bool { return true },
	}
	if len(l.Models) > 0 {
		list, err := fence.Compile(slices.Clone(l.Models), by, "models.budgets")
		if err != nil {
			return out, err
		}
		out.Covers = list.Has
	}
	return out, nil
}
