package profile

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/countersign/countersign"
)

//go:embed agents/*.yaml
var files embed.FS

// Default is the profile of every program that has none of its own.
const Default = "default"

// Profile is what is known of one agent.
type Profile struct {
	Name   string // of the file, and of the record
	Title  string // as its makers write it
	Tried  string // the version that the file was tried with; empty: none could be had
	Digest string // "sha256:…" of the file
	Found  Found
	// Ungoverned says why this agent cannot be governed; empty for all others.
	Ungoverned string
	Model      bool       // it can do nothing without a model
	Env        []Variable // beside those of Default, which every agent gets
	Files      []File
	Keeps      []string // names below the home where it keeps its own state
	Seed       []string // files of the person's home that its home starts with
	Sandbox    string   // how its own sandbox and approvals are set, in a sentence
	Patience   string   // how long it waits for a command, in a sentence
	Rules      []Rule   // its housekeeping
	Wrappers   []Wrapper
	Early      []Early // tools whose calls are asked about before the agent hears of them
}

// Found is how an agent is found on a machine.
type Found struct {
	Names []string // of its program, on PATH
	NPM   string   // npm package
	PyPI  string   // PyPI package
	Shim  Shim
}

// Shim is an npm program that does nothing but start another. An approval of that
// one would cover all that the agent does; started itself, it is the agent.
type Shim struct {
	File    string // the shim's base name
	Package string // of a platform, beside or below the shim's, a pattern of path.Match
	// Runs is the command line in the shim's place, where it is no native program's:
	// words behind the first that are files beside the shim mean these.
	Runs []string
}

// Variable is one of the environment.
type Variable struct{ Name, Value string }

// File is one that is written into the agent's home at each start.
type File struct{ Path, Content string }

// Rule is a command that the agent starts by itself, and what becomes of it.
type Rule struct {
	ID      string
	Verdict countersign.Verdict // allow or deny
	Argv    []string            // as a policy's rule has it; the word <<project>> is the project's root
	Env     []string            // names that may differ from the session's
	Reason  string
}

// Door is what the templates of variables and files are filled with.
type Door struct {
	URL   string // of the session's gateway, without a path
	Token string // good at that gateway only
	Home  string // the home as the agent sees it, absolute
}

func (d Door) fill(s string) string {
	return strings.NewReplacer("<<gateway>>", d.URL, "<<token>>", d.Token, "<<home>>", d.Home, "<<token-end>>", d.Token[max(0, len(d.Token)-20):]).Replace(s)
}

// Environment returns the variables (NAME=VALUE) of an agent: Default's, where p is
// another, and its own.
func (p *Profile) Environment(d Door, standard *Profile) []string {
	var out []string
	vars := p.Env
	if p.Name != standard.Name {
		vars = slices.Concat(standard.Env, p.Env)
	}
	for _, v := range vars {
		out = append(out, v.Name+"="+d.fill(v.Value))
	}
	return out
}

// Settings returns the files to be written into the agent's home.
func (p *Profile) Settings(d Door) []File {
	out := slices.Clone(p.Files)
	for i := range out {
		out[i].Content = d.fill(out[i].Content)
	}
	return out
}

// Housekeeping is how many kinds of its own commands are let go without a card.
func (p *Profile) Housekeeping() int {
	n := 0
	for _, r := range p.Rules {
		if r.Verdict == countersign.Allow {
			n++
		}
	}
	return n
}

// aliases are names of programs that are not their profile's.
var aliases = map[string]string{"cn": "continue", "cursor-agent": "cursor"}

// Load decodes the profiles of all agents, by name; Default is not among them.
func Load() ([]*Profile, error) {
	list, err := files.ReadDir("agents")
	if err != nil {
		return nil, err
	}
	var out []*Profile
	for _, e := range list {
		if name := strings.TrimSuffix(e.Name(), ".yaml"); name != Default {
			p, err := read(name)
			if err != nil {
				return nil, err
			}
			out = append(out, p)
		}
	}
	return out, nil
}

func read(name string) (*Profile, error) {
	src, err := files.ReadFile("agents/" + name + ".yaml")
	if err != nil {
		return nil, err
	}
	return Parse(name+".yaml", src)
}

// Standard returns the profile of whoever has none.
func Standard() (*Profile, error) { return read(Default) }

// For returns the profile of an agent by its name or its program's: Standard, if it
// has none.
func For(name string) (*Profile, error) {
	if known, ok := find(name); ok {
		return read(known)
	}
	return Standard()
}

// find is the name of the profile that knows this name.
func find(name string) (string, bool) {
	if to, ok := aliases[name]; ok {
		name = to
	}
	_, err := fs.Stat(files, "agents/"+name+".yaml")
	return name, err == nil && name != Default && fs.ValidPath(name)
}

// NameOf is what an agent is called whose command line this is: its profile's name,
// or the base name of its program without the ending of a script.
func NameOf(command string) string {
	name := path.Base(command)
	for _, suffix := range []string{".js", ".py", ".sh"} {
		name = strings.TrimSuffix(name, suffix)
	}
	name, _ = find(name)
	return name
}

func digest(src []byte) string {
	sum := sha256.Sum256(src)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// fault is an error in a profile.
func fault(file string, line, column int, remedy, format string, args ...any) error {
	return &countersign.Error{
		Code: countersign.EInvalid, Op: "read profile", Thing: fmt.Sprintf("%s:%d:%d", file, line, column),
		Err: fmt.Errorf(format, args...), Remedy: remedy,
	}
}
