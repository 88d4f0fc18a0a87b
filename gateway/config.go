package gateway

import (
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/goccy/go-yaml/ast"

	countersign "github.com/countersign/countersign"
	"github.com/countersign/countersign/gateway/keys"
	"github.com/countersign/countersign/gateway/price"
	"github.com/countersign/countersign/gateway/wire"
	"github.com/countersign/countersign/internal/loopback"
	"github.com/countersign/countersign/internal/strictyaml"
)

// Config is gateway.yaml.
type Config struct {
	Providers []Provider
	// FindLocal says to find Ollama and LM Studio on this machine.
	FindLocal bool
	// Prices are the built-in ones and those of prices.yaml beside gateway.yaml.
	Prices *price.Table
}

// Provider is one place that serves models.
type Provider struct {
	Name string // in "name/model", in policy and in records
	Wire string // that it speaks: anthropic, openai, azure, gemini, ollama
	// BaseURL is what the vendor's own SDK takes: with /v1 for openai, without
	// anything that the wire itself says for the others.
	BaseURL string
	Key     KeyRef
	Prices  string // list of the built-in prices; empty: found by the address

	base   *url.URL
	list   string
	vendor wire.Vendor
	at     strictyaml.Pos
	// found says that nobody configured it, compatible that it has the paths of
	// OpenAI and Anthropic alone.
	found, compatible bool
}

// Load reads gateway.yaml strictly: an unknown field is an error with line and
// column. A file that is not there is a configuration without providers.
func Load(path string) (*Config, error) {
	src, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fault(path, "make the file readable or remove it", err)
	}
	return parse(path, src)
}

func parse(path string, src []byte) (*Config, error) {
	prices, err := price.BuiltIn().With(filepath.Join(filepath.Dir(path), "prices.yaml"))
	if err != nil {
		return nil, err
	}
	root, bad := strictyaml.Parse(src)
	c := &Config{FindLocal: true, Prices: prices}
	if bad == nil && root != nil {
		r := strictyaml.Reader{}
		r.Mapping(root, "gateway", []strictyaml.Field{{Name: "providers", Read: func(n ast.Node) {
			for _, v := range r.List(n, "providers") {
				c.Providers = append(c.Providers, readProvider(&r, v))
			}
		}}, {Name: "find_local", Read: func(n ast.Node) { c.FindLocal = r.Boolean(n, "find_local") }}})
		bad = r.Err
	}
	if bad != nil {
		return nil, fault(at(path, bad.Pos), bad.Remedy, errors.New(bad.Msg))
	}
	seen := map[string]bool{}
	for i := range c.Providers {
		p := &c.Providers[i]
		if err := p.check(filepath.Dir(path), prices); err != nil {
			return nil, fault(at(path, p.at), countersign.RemedyOf(err), fmt.Errorf("provider %q: %w", p.Name, errors.Unwrap(err)))
		}
		if seen[p.Name] {
			return nil, fault(at(path, p.at), "choose another name", fmt.Errorf("two providers are called %q", p.Name))
		}
		seen[p.Name] = true
	}
	return c, nil
}

func at(path string, p strictyaml.Pos) string {
	if p.Line == 0 {
		return path
	}
	return fmt.Sprintf("%s:%d:%d", path, p.Line, p.Column)
}

func readProvider(r *strictyaml.Reader, n ast.Node) Provider {
	p := Provider{at: strictyaml.PosOf(n)}
	r.Mapping(n, "provider", []strictyaml.Field{
		{Name: "name", Read: func(n ast.Node) { p.Name = r.Text(n, "name") }},
		{Name: "wire", Read: func(n ast.Node) { p.Wire = r.Text(n, "wire") }},
		{Name: "base_url", Read: func(n ast.Node) { p.BaseURL = r.Text(n, "base_url") }},
		{Name: "prices", Read: func(n ast.Node) { p.Prices = r.Text(n, "prices") }},
		{Name: "key", Read: func(n ast.Node) { p.Key = readKeyRef(r, n) }},
	})
	return p
}

var envName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

func readKeyRef(r *strictyaml.Reader, n ast.Node) KeyRef {
	var k KeyRef
	text := func(to *string, what string) func(ast.Node) {
		return func(n ast.Node) {
			if *to = r.Text(n, what); strings.TrimSpace(*to) == "" {
				r.Fail(n, "say it, or leave it out", "%s: is empty", what)
			}
		}
	}
	r.Mapping(n, "key", []strictyaml.Field{
		{Name: "file", Read: text(&k.File, "key.file")},
		{Name: "env", Read: func(n ast.Node) {
			text(&k.Env, "key.env")(n)
			if !envName.MatchString(k.Env) {
				// It is not repeated: it may be the key itself.
				r.Fail(n, "write the variable's name, never the key", "key.env: is no name of a variable")
			}
		}},
		{Name: "command", Read: func(n ast.Node) {
			for _, v := range r.List(n, "key.command") {
				k.Command = append(k.Command, r.Text(v, "key.command"))
			}
			if len(k.Command) == 0 || k.Command[0] == "" {
				r.Fail(n, "write it as [program, argument]", "key.command: names no program")
			}
		}},
		{Name: "keyring", Read: text(&k.Keyring, "key.keyring")},
	})
	switch k.Ways() {
	case 0:
		r.Fail(n, "one of file, env, command, keyring; or leave key out and type countersign keys set", "key: says no way")
	case 1:
	default:
		r.Fail(n, "keep one of file, env, command, keyring", "key: is said in more than one way")
	}
	return k
}

func fault(thing, remedy string, err error) error {
	return &countersign.Error{Code: countersign.EInvalid, Op: "read gateway configuration", Thing: thing, Remedy: remedy, Err: err}
}

func (p *Provider) check(dir string, prices *price.Table) error {
	if !keys.IsName(p.Name) {
		return fault("", "write lower-case letters, digits and dashes", fmt.Errorf("name %q", p.Name))
	}
	if p.vendor = vendor(p.Wire); p.vendor == nil {
		return fault("", "wires of this version: anthropic, openai, azure, gemini, ollama (LM Studio too)", fmt.Errorf("wire %q", p.Wire))
	}
	p.Key.Dir = dir
	if f := p.Key.File; f != "" && !filepath.IsAbs(f) {
		p.Key.File = filepath.Join(dir, f)
	}
	u, err := url.Parse(p.BaseURL)
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		// It is not repeated: a password or a key may stand in it.
		return fault("", "write it as https://host[/path]; the key has its own field", errors.New("base_url is no such address"))
	}
	if u.Scheme != "https" && (u.Scheme != "http" || !loopback.Is(u.Hostname())) {
		return fault("", "use https; http is for a provider on this machine", fmt.Errorf("base_url %q would carry the key in clear", p.BaseURL))
	}
	u.Path = strings.TrimRight(u.Path, "/")
	if wrong, remedy := p.vendor.Base(u.Path); wrong != "" {
		return fault("", remedy, fmt.Errorf("base_url %q %s", p.BaseURL, wrong))
	}
	p.base = u
	if p.list = p.Prices; p.list == "" {
		if p.list = prices.ListOf(u.Host + u.Path); p.list == "" && p.Wire == "azure" {
			p.list = "azure"
		}
	} else if !prices.HasList(p.list) {
		return fault("", "leave it out, or name a list of the built-in prices, for example anthropic", fmt.Errorf("prices %q is no such list", p.list))
	}
	return nil
}

// url joins the provider's base with an escaped path of a wire.
func (p *Provider) url(wire, path, query string) *url.URL {
	u := *p.base
	raw := u.EscapedPath() + p.vendor.Path(wire, path)
	u.Path, u.RawPath = raw, raw
	if plain, err := url.PathUnescape(raw); err == nil {
		u.Path = plain
	}
	u.RawQuery = query
	return &u
}
