package price

import (
	"math/big"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	countersign "github.com/countersign/countersign"
)

func TestCost(t *testing.T) {
	table := BuiltIn()
	if !strings.HasPrefix(table.Version(), "catwalk-0.52.1+") {
		t.Error(table.Version())
	}
	tests := []struct {
		name string
		call Call
		want string // dollars, or why it is unknown
	}{
		{"every class of Anthropic's", Call{List: "anthropic", Served: "claude-sonnet-4-5-20250929", Tokens: Tokens{Input: 1000, Output: 200, CacheRead: 50_000, CacheWrite: 3000, CacheWriteLong: 1000, Reasoning: 150}}, "0.0345"},
		{"what was asked by another name", Call{List: "anthropic", Requested: "claude-sonnet-4-5", Tokens: Tokens{Input: 1_000_000 / 10}}, "0.3"},
		{"a date that the table has not", Call{List: "anthropic", Served: "claude-opus-4-6-20260101", Tokens: Tokens{Output: 1000}}, "0.025"},
		{"a long prompt", Call{List: "anthropic", Served: "claude-sonnet-4-20250514", Tokens: Tokens{Input: 1, CacheRead: 200_000, Output: 1000}}, "0.142506"},
		{"not as long", Call{List: "anthropic", Served: "claude-sonnet-4-20250514", Tokens: Tokens{CacheRead: 200_000, Output: 1000}}, "0.075"},
		{"longer than a price is known for", Call{List: "openai", Served: "gpt-5.5", Tokens: Tokens{Input: 272_001}}, "no price is known for a prompt as long"},
		{"OpenAI's cache", Call{List: "openai", Served: "gpt-5.5-2026-01-01", Tokens: Tokens{Input: 1000, CacheRead: 9000, Output: 500, Reasoning: 400}}, "0.0245"},
		{"half for flex", Call{List: "openai", Served: "gpt-5-mini", Tier: "flex", Tokens: Tokens{Input: 1_000_000 / 4}}, "0.03125"},
		{"the ordinary tier", Call{List: "openai", Served: "gpt-5-mini", Tier: "default", Tokens: Tokens{Input: 1000}}, "0.00025"},
		{"another tier", Call{List: "openai", Served: "gpt-5-mini", Tier: "priority", Tokens: Tokens{Input: 1000}}, "no price is known for the service tier priority"},
		{"fast", Call{List: "anthropic", Served: "claude-opus-5", Tier: "standard/fast", Tokens: Tokens{Input: 1000}}, "no price is known for the service tier fast"},
		{"the smallest", Call{List: "openai", Served: "gpt-5-nano", Tokens: Tokens{CacheRead: 1}}, "0.000000005"},
		{"nothing was used", Call{List: "openai", Served: "gpt-5"}, "0"},
		{"a class without a price", Call{List: "openai", Served: "gpt-5.5-pro", Tokens: Tokens{CacheRead: 1}}, "no price is known for cache read tokens"},
		{"Gemini's path", Call{List: "gemini", Served: "models/gemini-2.5-pro", Tokens: Tokens{Input: 200_001, Output: 1}}, "0.5000175"},
		{"a model that is not there", Call{Provider: "openai", List: "openai", Served: "gpt-99", Tokens: Tokens{Input: 1}}, "no price is known for openai/gpt-99"},
		{"another model than asked", Call{Provider: "p", List: "anthropic", Requested: "claude-sonnet-4-5", Served: "cheaper", Tokens: Tokens{Input: 1}}, "no price is known for p/cheaper"},
		{"a provider without a list", Call{Provider: "local", Served: "gpt-5", Tokens: Tokens{Input: 1}}, "no price is known for local/gpt-5"},
		{"nonsense", Call{List: "openai", Served: "gpt-5", Tokens: Tokens{Input: 1 << 50}}, "the counts of tokens make no sense"},
		{"more for an hour than in all", Call{List: "anthropic", Served: "claude-opus-5", Tokens: Tokens{CacheWrite: 1, CacheWriteLong: 2}}, "the counts of tokens make no sense"},
		{"large", Call{List: "anthropic", Served: "claude-haiku-4-5-20251001", Tokens: Tokens{Output: 1 << 40}}, "5497558.13888"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := table.Cost(tt.call)
			if s := got.Nano.String(); got.Known && s != tt.want || !got.Known && got.Why != tt.want {
				t.Errorf("%+v, want %s", got, tt.want)
			}
		})
	}
	if c := (*Table)(nil).Cost(tests[0].call); c.Known || c.Why == "" {
		t.Errorf("no table knows %+v", c)
	}
}

func TestListOf(t *testing.T) {
	table := BuiltIn()
	for address, want := range map[string]string{
		"api.anthropic.com": "anthropic", "api.openai.com/v1": "openai", "opencode.ai/zen/go/v1": "opencode-go", "opencode.ai/zen/v1": "opencode-zen",
		"corp.openai.azure.com": "azure", "api.openai.com.evil.example": "", "127.0.0.1:11434": "", "generativelanguage.googleapis.com": "gemini",
		"openrouter.ai/api/v1": "openrouter", "api.groq.com/openai/v1": "groq",
	} {
		if got := table.ListOf(address); got != want {
			t.Errorf("%s: %q, want %q", address, got, want)
		}
	}
}

// No line of the table is one that makes no sense: a price for input and output,
// a read no dearer than input, a write no cheaper.
func TestTableIsSane(t *testing.T) {
	n := 0
	for list, models := range BuiltIn().lists {
		for model, e := range models {
			n++
			for _, r := range e.rates {
				p := r.price
				if p[input] <= 0 || p[read] != unknown && p[read] > p[input] || p[write] != unknown && p[write] < p[input] || p[writeLong] != unknown && p[writeLong] < p[write] {
					t.Errorf("%s/%s: %v", list, model, p)
				}
			}
		}
	}
	if n < 1400 {
		t.Errorf("only %d models", n)
	}
}

// The cost is the exact sum, rounded once, half up; adding tokens never lowers
// it, and two calls differ from their sum by no more than the rounding.
func TestSumsAreExact(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	table := BuiltIn()
	var all []*entry
	for _, models := range table.lists {
		for _, e := range models {
			all = append(all, e)
		}
	}
	count := func() int64 { return rng.Int64N(1 << rng.IntN(40)) }
	for range 20_000 {
		e := all[rng.IntN(len(all))]
		list, model, _ := strings.Cut(e.name, "/")
		k := Tokens{Input: count(), Output: count(), CacheRead: count(), CacheWrite: count()}
		k.CacheWriteLong = rng.Int64N(k.CacheWrite + 1)
		got := table.Cost(Call{List: list, Served: model, Tokens: k})
		want, known := exact(e, k)
		if got.Known != known {
			t.Fatalf("%s %+v: %+v", e.name, k, got)
		}
		if known && int64(got.Nano) != want.Int64() {
			t.Fatalf("%s %+v: %d, want %s", e.name, k, got.Nano, want)
		}
	}
}

// exact computes with fractions of any size.
func exact(e *entry, k Tokens) (*big.Int, bool) {
	prompt := k.Input + k.CacheRead + k.CacheWrite
	r := e.rates[0]
	for _, x := range e.rates {
		if prompt >= x.from {
			r = x
		}
	}
	sum := new(big.Rat)
	for class, n := range []int64{k.Input, k.Output, k.CacheRead, k.CacheWrite - k.CacheWriteLong, k.CacheWriteLong} {
		if n > 0 && r.price[class] == unknown {
			return nil, false
		}
		sum.Add(sum, new(big.Rat).SetFrac64(n, 1_000_000).Mul(new(big.Rat).SetFrac64(n, 1_000_000), new(big.Rat).SetInt64(int64(r.price[class]))))
	}
	if e.above > 0 && prompt > e.above {
		return nil, false
	}
	sum.Add(sum, big.NewRat(1, 2))
	return new(big.Int).Quo(sum.Num(), sum.Denom()), true
}

func company(t *testing.T, src string) (*Table, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "prices.yaml")
	if err := os.WriteFile(path, []byte(src), 0o600); err != nil {
		t.Fatal(err)
	}
	return BuiltIn().With(path)
}

func TestCompanysOwnPrices(t *testing.T) {
	table, err := company(t, `version: "2026-11"
prices:
  - {model: "azure/team-*", input: 1.1, output: "8.8", cache_read: 0.11, tiers: {priority: 2, data-zone: 1.1}}
  - {model: "azure/gpt-5", input: 1, output: 9, reasoning: 3, above: 1000}
  - {model: "local/*", free: true}
`)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(table.Version(), "+company-2026-11-") {
		t.Error(table.Version())
	}
	for _, tt := range []struct {
		name string
		call Call
		want string
	}{
		{"by the deployment's name", Call{Provider: "Azure", List: "azure", Requested: "Team-A", Served: "gpt-4o-2024-08-06", Deployment: true, Tokens: Tokens{Input: 1_000_000, Output: 100_000}}, "1.98"},
		{"by the model that answered, first", Call{Provider: "azure", List: "azure", Requested: "team-a", Served: "gpt-5-2025-08-07", Deployment: true, Tokens: Tokens{Input: 100, Output: 1000, Reasoning: 400}}, "0.0067"},
		{"its bound", Call{Provider: "azure", List: "azure", Served: "gpt-5", Tokens: Tokens{Input: 1001}}, "no price is known for a prompt as long"},
		{"tiers multiply", Call{Provider: "azure", Requested: "team-a", Tier: "Priority/data-zone", Tokens: Tokens{Input: 1_000_000}}, "2.42"},
		{"a class that it leaves out is not the built-in one's", Call{Provider: "azure", List: "azure", Served: "gpt-5", Tokens: Tokens{CacheRead: 1}}, "no price is known for cache read tokens"},
		{"free", Call{Provider: "local", Served: "llama", Tokens: Tokens{Input: 5, Output: 5, CacheRead: 5, CacheWrite: 5, CacheWriteLong: 5, Reasoning: 5}}, "0"},
		{"the others", Call{Provider: "azure", List: "azure", Served: "gpt-4o", Tokens: Tokens{Input: 1_000_000}}, "2.5"},
	} {
		got := table.Cost(tt.call)
		if s := got.Nano.String(); got.Known && s != tt.want || !got.Known && got.Why != tt.want {
			t.Errorf("%s: %+v, want %s", tt.name, got, tt.want)
		}
	}
	if same, err := BuiltIn().With(filepath.Join(t.TempDir(), "none")); err != nil || same.Version() != BuiltIn().Version() {
		t.Error(err)
	}
}

func TestCompanysPricesAreReadStrictly(t *testing.T) {
	for _, tt := range []struct{ src, where, says string }{
		{"prices: []\n", ":1:1", "no version"},
		{"version: 1\nprices: []\n", ":1:10", "must be text"},
		{"version: a\nprices: [{model: x, input: 1}]\n", ":2:18", "names no provider and model"},
		{"version: a\nprices: [{model: a/b}]\n", ":2:", "says none"},
		{"version: a\nprices: [{input: 1}]\n", ":2:", "names no model"},
		{"version: a\nprices: [{model: a/b, input: -1}]\n", ":2:30", "no such number"},
		{"version: a\nprices: [{model: a/b, input: 1e3}]\n", ":2:30", "no such number"},
		{"version: a\nprices: [{model: a/b, input: .5}]\n", ":2:30", "no such number"},
		{"version: a\nprices: [{model: a/b, free: true, input: 1}]\n", ":2:", "is free and has prices"},
		{"version: a\nprices: [{model: a/b, free: false}]\n", ":2:", "says none"},
		{"version: a\nprices: [{model: a/b, inptu: 1}]\n", ":2:23", "unknown field"},
		{"version: a\nprices: [{model: a/b, input: 1, tiers: {x: y}}]\n", ":2:44", "no such number"},
		{"version: a\nversion: b\n", ":2:1", "already"},
		{"", "prices.yaml", ""},
	} {
		_, err := company(t, tt.src)
		if err == nil || !strings.Contains(err.Error(), "prices.yaml"+tt.where) && tt.where != "prices.yaml" || !strings.Contains(err.Error(), tt.says) || countersign.RemedyOf(err) == "" || countersign.CodeOf(err) != countersign.EInvalid {
			t.Errorf("%q: %v", tt.src, err)
		}
	}
}

func FuzzPrices(f *testing.F) {
	f.Add("version: a\nprices:\n  - {model: \"a/b*\", input: 1.1, output: \"8\", tiers: {x: 2}, above: 5}\n  - {model: c/d, free: true}\n")
	f.Add("version: a\nprices: [{model: a/b, cache_write_1h: 1000000000}]\n")
	built := &Table{version: "built"}
	f.Fuzz(func(t *testing.T, src string) {
		path := filepath.Join(t.TempDir(), "prices.yaml")
		if err := os.WriteFile(path, []byte(src), 0o600); err != nil {
			t.Fatal(err)
		}
		table, err := built.With(path)
		if err != nil {
			return
		}
		for _, tier := range []string{"", "x", "x/x/x/x/x/x/x"} {
			c := table.Cost(Call{Provider: "a", Served: "b", Tier: tier, Tokens: Tokens{Input: 1 << 40, Output: 7, CacheWrite: 5, CacheWriteLong: 3, Reasoning: 2}})
			if c.Known == (c.Why != "") || c.Nano < 0 {
				t.Fatalf("%+v", c)
			}
		}
	})
}

// The table is what the generator makes of the module, where that is at hand.
func TestTableIsAsGenerated(t *testing.T) {
	cache, err := exec.Command("go", "env", "GOMODCACHE").Output()
	dir := filepath.Join(strings.TrimSpace(string(cache)), "charm.land/catwalk@v0.52.1")
	if _, serr := os.Stat(dir); err != nil || serr != nil {
		t.Skip("the module is not in the cache: go mod download charm.land/catwalk@v0.52.1")
	}
	out, err := exec.Command("go", "run", "generate.go", dir).Output()
	if err != nil {
		t.Fatal(err)
	}
	if string(out) != prices {
		t.Error("prices.tsv is not what generate.go makes")
	}
}

func BenchmarkCost(b *testing.B) {
	table := BuiltIn()
	c := Call{Provider: "anthropic", List: "anthropic", Served: "claude-sonnet-4-5-20250929", Tokens: Tokens{Input: 1000, Output: 200, CacheRead: 50_000}}
	for b.Loop() {
		table.Cost(c)
	}
}

func BenchmarkBuiltIn(b *testing.B) {
	for b.Loop() {
		BuiltIn()
	}
}
