package policy

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"

	countersign "github.com/countersign/countersign"
	"github.com/countersign/countersign/policy/hosts"
	"github.com/countersign/countersign/policy/lends"
	"github.com/countersign/countersign/policy/models"
	"github.com/countersign/countersign/policy/paths"
)

// Policy is the layers put together, ready to be asked.
type Policy struct {
	bundle     string
	preset     string
	deny, risk *fileSet
	outer      []outerFiles
	exec, lend execSet
	lends      []lends.Rule // as of lend
	hosts      hosts.Rules
	models     models.Rules
	write      string
	approvals  Approvals
	demands    map[string]Demands
	require    []string
	layers     []*Document

	asks, covered, denies countersign.Ruling // where no rule matched

	roots paths.Roots // told by At
}

// Approvals is how approvals are given.
type Approvals struct {
	Timeout           time.Duration // a card that nobody answers in this time denies that attempt
	TypedConfirmation []string      // ids of rules whose approval is a typed word, sorted
	Passkey           []string      // ids of rules whose approval is signed with a passkey, sorted
}

// DefaultTimeout is how long an attempt waits for a person.
const DefaultTimeout = 15 * time.Minute

// Compile puts layers together, in whatever order they come. It refuses what a
// layer may not say, an id given twice, an exception to a rule that is not
// there or not its layer's to relax, and a rule whose example fails.
func Compile(docs ...*Document) (*Policy, error) {
	docs = slices.DeleteFunc(slices.Clone(docs), func(d *Document) bool { return d == nil })
	byLayer := func(a, b *Document) int { return a.Layer.rank() - b.Layer.rank() }
	slices.SortStableFunc(docs, byLayer)
	docs, err := withPresets(docs)
	if err != nil {
		return nil, err
	}
	if err := checkLayers(docs); err != nil {
		return nil, err
	}
	p := &Policy{layers: docs, deny: newFileSet(), risk: newFileSet(), write: "review", demands: map[string]Demands{}}
	p.exec.byName, p.lend.byName = map[string][]int32{}, map[string][]int32{}
	p.bundle, p.preset = bundleOf(docs), loosest(docs)
	p.defaults()
	p.settings(docs)
	for _, d := range docs {
		if err := p.addFiles(d); err != nil {
			return nil, err
		}
		if err := p.addDoors(d); err != nil {
			return nil, err
		}
	}
	if err := p.addExceptions(docs); err != nil {
		return nil, err
	}
	p.hosts.Confine(p.models.LocalOnly())
	return p, p.runExamples()
}

// withPresets puts each preset that a layer builds on beside that layer; one
// that several name belongs to the strongest.
func withPresets(docs []*Document) ([]*Document, error) {
	out, seen := []*Document{}, map[string]bool{}
	for _, d := range docs {
		for {
			out = append(out, d)
			if d.Preset == "" || d.Layer == LayerProject || seen[d.Preset] {
				break
			}
			seen[d.Preset] = true
			preset, err := Preset(d.Preset)
			if err != nil {
				return nil, d.fault(d.presetPos, countersign.RemedyOf(err), "no preset %q", d.Preset)
			}
			d = preset.of(d.Layer)
		}
	}
	return out, nil
}

// of gives the document to a layer.
func (d *Document) of(l Layer) *Document {
	out := *d
	out.Layer = l
	out.Files.Deny = withLayer(d.Files.Deny, func(r *FileRule) { r.Layer = l })
	out.Files.Except = withLayer(d.Files.Except, func(r *Except) { r.Layer = l })
	out.Files.HighRisk = withLayer(d.Files.HighRisk, func(r *FileRule) { r.Layer = l })
	out.Cmds = withLayer(d.Cmds, func(r *Command) { r.Layer = l })
	out.Net = d.Net.Of(string(l))
	return &out
}

func withLayer[T any](in []T, set func(*T)) []T {
	out := slices.Clone(in)
	for i := range out {
		set(&out[i])
	}
	return out
}

func (p *Policy) defaults() {
	p.asks = countersign.Ruling{Verdict: countersign.Ask, Rule: "default", Reason: "no rule allows it", Layer: string(LayerBuiltIn), Bundle: p.bundle}
	p.covered = countersign.Ruling{Verdict: countersign.Allow, Rule: "covered", Reason: "runs below an approved command", Layer: string(LayerBuiltIn), Bundle: p.bundle}
	p.denies = countersign.Ruling{Verdict: countersign.Deny, Rule: "default", Reason: "no rule allows it", Layer: string(LayerBuiltIn), Bundle: p.bundle}
	p.models, p.hosts = models.New(p.denies), hosts.New(p.denies)
}

func (p *Policy) ruling(v countersign.Verdict, id, reason string, l Layer, pos string) countersign.Ruling {
	return countersign.Ruling{Verdict: v, Rule: id, Reason: reason, Layer: string(l), Pos: pos, Bundle: p.bundle}
}

func (p *Policy) addFiles(d *Document) error {
	deny, risk := p.filesOf(d)
	for _, r := range d.Files.Deny {
		if err := deny.add(r); err != nil {
			return d.fault(r.at, "", "rule %s: %v", r.ID, err)
		}
	}
	for _, r := range d.Files.HighRisk {
		if err := risk.add(r); err != nil {
			return d.fault(r.at, "", "rule %s: %v", r.ID, err)
		}
	}
	return nil
}

func (p *Policy) addDoors(d *Document) error {
	for _, c := range d.Cmds {
		c := &c
		if err := p.exec.add(c, score(c.Verdict, p.demands[c.ID], c)); err != nil {
			return d.fault(c.at, "", "rule %s: %v", c.ID, err)
		}
		ruling := p.ruling(c.Verdict, c.ID, c.Reason, c.Layer, c.Pos)
		ruling.Alone, ruling.Debugs = c.Alone, c.Debugs
		p.exec.rules[len(p.exec.rules)-1].ruling = ruling
	}
	p.hosts.Add(&d.Net, func(v countersign.Verdict, id, reason, layer, pos string) countersign.Ruling {
		return p.ruling(v, id, reason, Layer(layer), pos)
	})
	if err := p.addLends(d); err != nil {
		return err
	}
	return p.addModels(d)
}

// score orders what matches: deny over ask over allow; among asks, the one that
// demands most of the person, so that a plain ask cannot stand before it.
func score(v countersign.Verdict, d Demands, c *Command) int {
	n := map[countersign.Verdict]int{countersign.Allow: 1, countersign.Ask: 2, countersign.Deny: 3}[v] << 16
	if c.Approvers > 1 {
		n |= c.Approvers << 8
	}
	if d.Passkey {
		n |= 1 << 4
	}
	if d.Typed {
		n |= 1 << 3
	}
	if c.Alone == (v == countersign.Ask) { // the allow that covers, the ask that does not
		n |= 1 << 1
	}
	if !c.Debugs { // what gives something up stands by itself only
		n |= 1
	}
	return n
}

func (p *Policy) addExceptions(docs []*Document) error {
	for _, d := range docs {
		for i := range d.Files.Except {
			x := d.Files.Except[i]
			for _, id := range x.Rules {
				if err := p.except(d, &x, id); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// except hangs one exception on one rule. A layer may relax its own rules and
// the built-in ones.
func (p *Policy) except(d *Document, x *Except, id string) error {
	is := func(r FileRule) bool { return r.ID == id }
	set := p.deny
	n := slices.IndexFunc(set.rules, is)
	if n < 0 {
		set = p.risk
		n = slices.IndexFunc(set.rules, is)
	}
	if n < 0 {
		return d.fault(x.at, "name the id of a rule of files.deny or files.high_risk", "exception %s: no rule %q", x.ID, id)
	}
	if r := set.rules[n]; r.Layer != LayerBuiltIn && r.Layer != d.Layer {
		return d.fault(x.at, "ask whoever wrote it", "exception %s: rule %s is of the %s layer, which the %s layer may not relax", x.ID, r.ID, r.Layer, d.Layer)
	}
	for _, src := range x.Paths {
		pat, err := paths.Compile(src)
		if err != nil {
			return d.fault(x.at, "", "exception %s: %v", x.ID, err)
		}
		set.except[n] = append(set.except[n], exception{pat, src, x})
	}
	return nil
}

// Bundle names the policy by its content: "sha256:…" of the canonical form of
// all layers. Comments, file names and line numbers do not change it.
func (p *Policy) Bundle() string { return p.bundle }

// Preset names the loosest preset that a layer builds on, which holds the
// stricter ones too; "strict" where none names one.
func (p *Policy) Preset() string { return p.preset }

func loosest(docs []*Document) string {
	n := 0
	for _, d := range docs {
		n = max(n, slices.Index(presetNames, d.Preset))
	}
	return presetNames[n]
}

// Record is the policy as a record names it, with the rule that spoke, if any.
func (p *Policy) Record(rule string) *countersign.PolicyRecord {
	return &countersign.PolicyRecord{Bundle: p.bundle, Preset: p.preset, Rule: rule}
}

// bundleOf hashes the layers in order. Within a layer the order of documents
// means nothing, so they are sorted by what they say.
func bundleOf(docs []*Document) string {
	lines := make([]string, 0, len(docs))
	for _, d := range docs {
		b, err := json.Marshal(d.canonical())
		if err != nil {
			panic(err) // strings, numbers and lists only
		}
		lines = append(lines, itoa(d.Layer.rank())+string(b))
	}
	sort.Strings(lines)
	h := sha256.New()
	h.Write([]byte("countersign-policy/1\n"))
	for _, l := range lines {
		h.Write([]byte(l + "\n"))
	}
	return "sha256:" + hex.EncodeToString(h.Sum(nil))
}

// canonical is the document without where it was written.
func (d *Document) canonical() any {
	m, later := d.Models.Canonical()
	network, ports := d.Net.Canonical()
	return struct {
		Layer    Layer
		Deny     []FileRule
		Except   []Except
		HighRisk []FileRule
		Write    string
		Commands []Command
		Network  []hosts.Rule
		models.Canonical
		Timeout int64
		Typed   []string
		Passkey []string
		Require []string
		models.Later
		hosts.Ports
		Below string       `json:",omitempty"`
		Lend  []lends.Rule `json:",omitempty"`
	}{
		d.Layer,
		withLayer(d.Files.Deny, func(r *FileRule) { r.Pos = "" }),
		withLayer(d.Files.Except, func(r *Except) { r.Pos = "" }),
		withLayer(d.Files.HighRisk, func(r *FileRule) { r.Pos = "" }),
		d.Files.Write,
		withLayer(d.Cmds, func(r *Command) { r.Pos = "" }),
		network,
		m, int64(d.Appr.Timeout), d.Appr.TypedConfirmation, d.Appr.Passkey, d.Post.Require, later, ports, d.Below,
		withLayer(d.Lend, func(r *lends.Rule) { r.Pos = "" }),
	}
}

// Said is what the document says, rule by rule: by section, and for rules their id,
// as JSON. What it does not speak of is not there.
func (d *Document) Said() map[string]string {
	b, err := json.Marshal(d.canonical())
	var sections map[string]json.RawMessage
	if err = errors.Join(err, json.Unmarshal(b, &sections)); err != nil {
		panic(err) // strings, numbers and lists only
	}
	out := map[string]string{}
	if d.Preset != "" {
		out["preset"] = strconv.Quote(d.Preset)
	}
	delete(sections, "Layer")
	delete(sections, "Below")
	for name, src := range sections {
		name = strings.ToLower(name)
		var rules []json.RawMessage
		_ = json.Unmarshal(src, &rules) // what is no list stands as it is
		plain := len(rules) == 0
		for _, r := range rules {
			var x struct{ ID string }
			if json.Unmarshal(r, &x) == nil && x.ID != "" {
				out[name+" "+x.ID] = string(r)
			} else {
				plain = true
			}
		}
		if s := string(src); plain && s != "null" && s != `""` && s != "0" && s != "false" && s != "[]" {
			out[name] = s
		}
	}
	return out
}

// At tells the policy where project and home lie, both absolute and resolved,
// so that "./", "~/" and absolute paths mean something. It returns a copy.
func (p *Policy) At(project, home string) *Policy {
	out := *p
	out.roots = paths.Roots{Project: project, Home: home}
	return &out
}
