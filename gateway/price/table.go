package price

import (
	_ "embed"
	"fmt"
	"sort"
	"strconv"
	"strings"
	"sync"

	"github.com/countersign/countersign/internal/glob"
	"github.com/countersign/countersign/internal/usd"
)

//go:embed prices.tsv
var prices string

//go:embed overlay.tsv
var overlay string

// The classes of tokens that are charged.
const (
	input = iota
	output
	read
	write
	writeLong
	reasoning // where it has a price of its own; else it is output
	classes
)

// unknown is a class without a price.
const unknown Nano = -1

// rates are dollars per million tokens by class, for prompts of at least from
// tokens.
type rates struct {
	from  int64
	price [classes]Nano
}

// entry is what one model costs.
type entry struct {
	name  string  // "list/model", for the record
	rates []rates // by from
	above int64   // no price is known for longer prompts; 0: no such bound
	tiers map[string]factor
}

// Table is prices with a version. A nil Table knows none.
type Table struct {
	version string
	hosts   []host
	lists   map[string]map[string]*entry
	bare    func(list string) map[string]*entry // by name without a date; nil where two have it
	company []companyLine
}

type host struct{ prefix, list string }

// BuiltIn returns the table of this version of Countersign.
func BuiltIn() *Table {
	t := &Table{lists: map[string]map[string]*entry{}}
	for _, src := range []string{prices, overlay} {
		for i, line := range strings.Split(src, "\n") {
			if line == "" || line[0] == '#' {
				continue
			}
			if err := t.line(strings.Split(line, "\t")); err != nil {
				panic(fmt.Sprintf("line %d: %v", i+1, err)) // a test reads every line
			}
		}
	}
	sort.Slice(t.hosts, func(i, j int) bool { return len(t.hosts[i].prefix) > len(t.hosts[j].prefix) })
	bare := sync.OnceValue(t.byBareName) // few sessions come to ask for it
	t.bare = func(list string) map[string]*entry { return bare()[list] }
	return t
}

func (t *Table) byBareName() map[string]map[string]*entry {
	all := map[string]map[string]*entry{}
	for list, models := range t.lists {
		by := map[string]*entry{}
		for model, e := range models {
			if _, two := by[bare(model)]; two {
				e = nil
			}
			by[bare(model)] = e
		}
		all[list] = by
	}
	return all
}

func (t *Table) line(f []string) error {
	switch {
	case f[0] == "version" && len(f) == 2:
		t.version = strings.TrimPrefix(t.version+"+"+f[1], "+")
		return nil
	case f[0] == "host" && len(f) == 3:
		t.hosts = append(t.hosts, host{f[1], f[2]})
		return nil
	case f[0] == "price" && len(f) == 8:
		return t.priceLine(f[1], f[2:])
	case f[0] == "hour" && len(f) == 3, f[0] == "above" && len(f) == 3, f[0] == "tier" && len(f) == 4:
		return t.rule(f)
	}
	return fmt.Errorf("no line of the table: %q", f)
}

func (t *Table) priceLine(name string, f []string) error {
	list, model, _ := strings.Cut(name, "/")
	from, err := strconv.ParseInt(f[0], 10, 64)
	if err != nil {
		return err
	}
	r := rates{from: from}
	for i := range r.price {
		r.price[i] = unknown
		if i+1 < len(f) && f[i+1] != "-" {
			if r.price[i], err = usd.Parse(f[i+1]); err != nil {
				return err
			}
		}
	}
	if t.lists[list] == nil {
		t.lists[list] = map[string]*entry{}
	}
	e := t.lists[list][model]
	if e == nil {
		e = &entry{name: name}
		t.lists[list][model] = e
	}
	e.rates = append(e.rates, r)
	sort.SliceStable(e.rates, func(i, j int) bool { return e.rates[i].from < e.rates[j].from })
	return nil
}

// rule applies a line that speaks of many models to those that are there.
func (t *Table) rule(f []string) error {
	list, pattern, _ := strings.Cut(f[1], "/")
	g, err := glob.Arg(pattern)
	if err != nil {
		return err
	}
	by := int64(0)
	if f[0] == "above" {
		by, err = strconv.ParseInt(f[2], 10, 64)
	} else {
		var n Nano
		n, err = usd.Parse(f[len(f)-1])
		by = int64(n)
	}
	if err != nil {
		return err
	}
	for model, e := range t.lists[list] {
		if !g.Match(model) {
			continue
		}
		switch f[0] {
		case "above":
			e.above = by
		case "tier":
			if e.tiers == nil {
				e.tiers = map[string]factor{}
			}
			e.tiers[f[2]] = factor(by)
		case "hour":
			for i := range e.rates {
				if p := &e.rates[i].price; p[writeLong] == unknown && p[input] != unknown {
					p[writeLong], _ = times(p[input], factor(by))
				}
			}
		}
	}
	return nil
}

// Version names the table in records.
func (t *Table) Version() string {
	if t == nil {
		return "none"
	}
	return t.version
}

// ListOf finds the list of prices of a provider by its address without scheme;
// empty if it has none.
func (t *Table) ListOf(address string) string {
	if t == nil {
		return ""
	}
	for _, h := range t.hosts {
		if rest, ok := strings.CutPrefix(address, h.prefix); ok && (rest == "" || rest[0] == '/') {
			return h.list
		}
	}
	if name, _, _ := strings.Cut(address, "/"); strings.HasSuffix(name, ".openai.azure.com") || strings.HasSuffix(name, ".cognitiveservices.azure.com") {
		return "azure"
	}
	return ""
}

// HasList reports whether a list of this name is there.
func (t *Table) HasList(name string) bool { return t != nil && t.lists[name] != nil }
