package price

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml/ast"

	countersign "github.com/countersign/countersign"
	"github.com/countersign/countersign/internal/glob"
	"github.com/countersign/countersign/internal/strictyaml"
	"github.com/countersign/countersign/internal/usd"
)

// companyLine is one line of prices.yaml.
type companyLine struct {
	provider, model glob.Glob
	entry           entry
}

// With reads a company's own prices from a file and returns the table with them
// before the built-in ones; without such a file, the same table.
func (t *Table) With(path string) (*Table, error) {
	src, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return t, nil
	}
	if err != nil {
		return nil, fault(path, "make the file readable or remove it", err)
	}
	root, bad := strictyaml.Parse(src)
	out, version := *t, ""
	out.company = nil
	if bad == nil {
		r := strictyaml.Reader{}
		r.Mapping(root, "prices", []strictyaml.Field{
			{Name: "version", Read: func(n ast.Node) { version = r.Text(n, "version") }},
			{Name: "prices", Read: func(n ast.Node) {
				for _, v := range r.List(n, "prices") {
					out.company = append(out.company, readLine(&r, v))
				}
			}},
		})
		if r.Err == nil && (version == "" || len(version) > 64) {
			r.Fail(root, `add version: "2026-11", which records name`, "no version, or a long one")
		}
		bad = r.Err
	}
	if bad != nil {
		if bad.Pos.Line > 0 {
			path = fmt.Sprintf("%s:%d:%d", path, bad.Pos.Line, bad.Pos.Column)
		}
		return nil, fault(path, bad.Remedy, errors.New(bad.Msg))
	}
	sum := sha256.Sum256(src)
	out.version += "+company-" + version + "-" + hex.EncodeToString(sum[:4])
	return &out, nil
}

func fault(thing, remedy string, err error) error {
	return &countersign.Error{Code: countersign.EInvalid, Op: "read prices", Thing: thing, Remedy: remedy, Err: err}
}

func readLine(r *strictyaml.Reader, n ast.Node) companyLine {
	c := companyLine{entry: entry{tiers: map[string]factor{}}}
	p := rates{}
	for i := range p.price {
		p.price[i] = unknown
	}
	free := false
	fields := []strictyaml.Field{
		{Name: "model", Read: func(n ast.Node) { c.read(r, n) }},
		{Name: "free", Read: func(n ast.Node) { free = r.Boolean(n, "free") }},
		{Name: "above", Read: func(n ast.Node) { c.entry.above = int64(r.Number(n, "above", 1, math.MaxInt32)) }},
		{Name: "tiers", Read: func(n ast.Node) { c.tiers(r, n) }},
	}
	given := 0
	for class, name := range []string{"input", "output", "cache_read", "cache_write", "cache_write_1h", "reasoning"} {
		fields = append(fields, strictyaml.Field{Name: name, Read: func(n ast.Node) { p.price[class] = decimal(r, n, name); given++ }})
	}
	r.Mapping(n, "price", fields)
	switch {
	case c.entry.name == "":
		r.Fail(n, `add model: "provider/model"`, "price: names no model")
	case free && given > 0:
		r.Fail(n, "keep free, or the prices", "price: is free and has prices")
	case !free && given == 0:
		r.Fail(n, "add input and output, in dollars per million tokens, or free: true", "price: says none")
	case free:
		p.price = [classes]Nano{reasoning: unknown}
	}
	c.entry.rates = []rates{p}
	return c
}

func (c *companyLine) read(r *strictyaml.Reader, n ast.Node) {
	s := r.Text(n, "model")
	provider, model, ok := strings.Cut(strings.ToLower(s), "/")
	var err error
	if c.provider, err = glob.Arg(provider); err == nil {
		c.model, err = glob.Arg(model)
	}
	if !ok || provider == "" || model == "" || err != nil {
		r.Fail(n, `write provider/model, for example "azure/gpt-*"`, "model: %q names no provider and model", s)
	}
	c.entry.name = "company:" + s
}

func (c *companyLine) tiers(r *strictyaml.Reader, n ast.Node) {
	var fields []strictyaml.Field
	if m, ok := n.(*ast.MappingNode); ok {
		for _, kv := range m.Values {
			name := strings.ToLower(kv.Key.String())
			fields = append(fields, strictyaml.Field{Name: kv.Key.String(), Read: func(n ast.Node) { c.entry.tiers[name] = decimal(r, n, "tiers."+name) }})
		}
	}
	r.Mapping(n, "tiers", fields)
}

// decimal reads a number as it is written, in quotes or not.
func decimal(r *strictyaml.Reader, n ast.Node, what string) Nano {
	var s string
	switch n.(type) {
	case *ast.IntegerNode, *ast.FloatNode, *ast.StringNode:
		s = n.GetToken().Value
	}
	v, err := usd.Parse(s)
	if err != nil {
		r.Fail(n, err.Error(), "%s: %s is no such number", what, strconv.Quote(s))
	}
	return v
}

// companyEntry finds the first line of the company's for a model.
func (t *Table) companyEntry(provider, model string) *entry {
	provider = strings.ToLower(provider)
	for i := range t.company {
		l := &t.company[i]
		if l.provider.Match(provider) && l.model.Match(model) {
			return &l.entry
		}
	}
	return nil
}
