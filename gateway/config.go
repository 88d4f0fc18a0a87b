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

	"github.com/goccy/go-yaml"

	countersign "github.com/countersign/countersign"
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
	Providers []Provider `yaml:"providers"`
}

// Provider is one place that serves models.
type Provider struct {
	Name string `yaml:"name"` // in "name/model", in policy and in records
	Wire Wire   `yaml:"wire"`
	// BaseURL is what the vendor's own SDK takes: with /v1 for openai, without
	// for anthropic and ollama.
	BaseURL string `yaml:"base_url"`
	Key     KeyRef `yaml:"key"`

	base *url.URL
}

// KeyRef says where a provider's key is. Empty means the one that "countersign
// keys set NAME" keeps, or none for a local provider.
type KeyRef struct {
	File    string   `yaml:"file"`    // path of a 0600 file; relative to gateway.yaml
	Env     string   `yaml:"env"`     // name of a variable of the session process, not of the agent
	Command []string `yaml:"command"` // argv; its first line of output is the key
	Keyring string   `yaml:"keyring"` // name in the operating system's keychain
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

func parse(path string, src []byte) (c *Config, err error) {
	defer func() {
		if p := recover(); p != nil { // the YAML parser is third-party code
			c, err = nil, fault(path, "write plain YAML", fmt.Errorf("not YAML: %v", p))
		}
	}()
	c = &Config{}
	if len(strings.TrimSpace(string(src))) == 0 {
		return c, nil
	}
	if err := yaml.UnmarshalWithOptions(src, c, yaml.Strict()); err != nil {
		return nil, syntax(path, err)
	}
	seen := map[string]bool{}
	for i := range c.Providers {
		p := &c.Providers[i]
		if err := p.check(filepath.Dir(path)); err != nil {
			return nil, fault(fmt.Sprintf("%s: provider %d (%s)", path, i+1, p.Name), countersign.RemedyOf(err), errors.Unwrap(err))
		}
		if seen[p.Name] {
			return nil, fault(path, "choose another name", fmt.Errorf("two providers are called %q", p.Name))
		}
		seen[p.Name] = true
	}
	return c, nil
}

func syntax(path string, err error) error {
	thing, msg := path, err.Error()
	var ye yaml.Error
	if errors.As(err, &ye) {
		msg = ye.GetMessage()
		if tk := ye.GetToken(); tk != nil && tk.Position != nil {
			thing = fmt.Sprintf("%s:%d:%d", path, tk.Position.Line, tk.Position.Column)
		}
	}
	msg, _, _ = strings.Cut(msg, "\n")
	return fault(thing, "fields of a provider: name, wire, base_url, key {file, env, command, keyring}", errors.New(msg))
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
