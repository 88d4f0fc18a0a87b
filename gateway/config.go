package gateway

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/goccy/go-yaml/ast"

	countersign "github.com/countersign/countersign"
	"github.com/countersign/countersign/internal/strictyaml"
)

// Wire is the protocol that a provider speaks natively.
type Wire string

// The wires of this version. A provider of wire ollama (Ollama, LM Studio)
// serves the paths of both others.
const (
	Anthropic Wire = "anthropic"
	OpenAI    Wire = "openai"
	Ollama    Wire = "ollama"
)

// Config is gateway.yaml.
type Config struct {
	Providers []Provider
}

// Provider is one place that serves models.
type Provider struct {
	Name string // in "name/model", in policy and in records
	Wire Wire
	// BaseURL is what the vendor's own SDK takes: with /v1 for openai, without
	// for anthropic and ollama.
	BaseURL string
	Key     KeyRef

	base *url.URL
	at   strictyaml.Pos
}

// KeyRef says where a provider's key is. Empty means the one that "countersign
// keys set NAME" keeps, or none for a local provider.
type KeyRef struct {
	File    string   // path of a 0600 file; relative to gateway.yaml
	Env     string   // name of a variable of the session process, not of the agent
	Command []string // argv; its first line of output is the key
	Keyring string   // name in the operating system's keychain
}

func (k KeyRef) ways() int {
	n := 0
	for _, set := range []bool{k.File != "", k.Env != "", len(k.Command) > 0, k.Keyring != ""} {
		if set {
			n++
		}
	}
	return n
}

var nameForm = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,63}$`)

// Load reads gateway.yaml strictly: an unknown field is an error with line and
// column. A file that is not there is a configuration without providers.
func Load(path string) (*Config, error) {
	src, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return &Config{}, nil
	}
	if err != nil {
		return nil, fault(path, "make the file readable or remove it", err)
	}
	return parse(path, src)
}

func parse(path string, src []byte) (*Config, error) {
	root, bad := strictyaml.Parse(src)
	c := &Config{}
	if bad == nil && root != nil {
		r := strictyaml.Reader{}
		r.Mapping(root, "gateway", []strictyaml.Field{{Name: "providers", Read: func(n ast.Node) {
			for _, v := range r.List(n, "providers") {
				c.Providers = append(c.Providers, readProvider(&r, v))
			}
		}}})
		bad = r.Err
	}
	if bad != nil {
		return nil, fault(at(path, bad.Pos), bad.Remedy, errors.New(bad.Msg))
	}
	seen := map[string]bool{}
	for i := range c.Providers {
		p := &c.Providers[i]
		if err := p.check(filepath.Dir(path)); err != nil {
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
		{Name: "wire", Read: func(n ast.Node) { p.Wire = Wire(r.Text(n, "wire")) }},
		{Name: "base_url", Read: func(n ast.Node) { p.BaseURL = r.Text(n, "base_url") }},
		{Name: "key", Read: func(n ast.Node) {
			r.Mapping(n, "key", []strictyaml.Field{
				{Name: "file", Read: func(n ast.Node) { p.Key.File = r.Text(n, "key.file") }},
				{Name: "env", Read: func(n ast.Node) { p.Key.Env = r.Text(n, "key.env") }},
				{Name: "command", Read: func(n ast.Node) {
					for _, v := range r.List(n, "key.command") {
						p.Key.Command = append(p.Key.Command, r.Text(v, "key.command"))
					}
				}},
				{Name: "keyring", Read: func(n ast.Node) { p.Key.Keyring = r.Text(n, "key.keyring") }},
			})
		}},
	})
	return p
}

func fault(thing, remedy string, err error) error {
	return &countersign.Error{Code: countersign.EInvalid, Op: "read gateway configuration", Thing: thing, Remedy: remedy, Err: err}
}

func (p *Provider) check(dir string) error {
	if !nameForm.MatchString(p.Name) {
		return fault("", "write lower-case letters, digits and dashes", fmt.Errorf("name %q", p.Name))
	}
	switch p.Wire {
	case Anthropic, OpenAI, Ollama:
	default:
		return fault("", "wires of this version: anthropic, openai, ollama (LM Studio too)", fmt.Errorf("wire %q", p.Wire))
	}
	if p.Key.ways() > 1 {
		return fault("", "keep one of file, env, command, keyring", errors.New("the key is said in more than one way"))
	}
	if f := p.Key.File; f != "" && !filepath.IsAbs(f) {
		p.Key.File = filepath.Join(dir, f)
	}
	u, err := url.Parse(p.BaseURL)
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return fault("", "write it as https://host[/path]; the key has its own field", fmt.Errorf("base_url %q", p.BaseURL))
	}
	if u.Scheme != "https" && (u.Scheme != "http" || !loopback(u.Hostname())) {
		return fault("", "use https; http is for a provider on this machine", fmt.Errorf("base_url %q would carry the key in clear", p.BaseURL))
	}
	u.Path = strings.TrimRight(u.Path, "/")
	if p.Wire != OpenAI && strings.HasSuffix(u.Path, "/v1") {
		return fault("", "leave /v1 out: this wire's own SDK adds it", fmt.Errorf("base_url %q", p.BaseURL))
	}
	p.base = u
	return nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// speaks reports whether the provider serves a route's wire.
func (p *Provider) speaks(w Wire) bool { return p.Wire == w || p.Wire == Ollama }

// url joins the provider's base with a path of the wire, which begins in /v1.
func (p *Provider) url(path, query string) *url.URL {
	u := *p.base
	if p.Wire == OpenAI {
		path = strings.TrimPrefix(path, "/v1")
	}
	u.Path += path
	u.RawQuery = query
	return &u
}
