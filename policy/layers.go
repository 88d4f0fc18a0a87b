package policy

import (
	"slices"
	"sort"
	"time"

	countersign "github.com/countersign/countersign"
)

// Demands is what the approval of a rule needs beyond one person's key.
type Demands struct {
	Approvers int  // how many people, at least 1
	Passkey   bool // signed by a passkey
	Typed     bool // the word typed out
}

// Demands returns what an approval under this rule needs.
func (p *Policy) Demands(rule string) Demands {
	if d, ok := p.demands[rule]; ok {
		return d
	}
	return Demands{Approvers: 1}
}

// Unmet says what a rule demands that this version cannot give, so that the
// gate denies instead of asking for less.
func (p *Policy) Unmet(rule string) (what string, unmet bool) {
	switch d := p.Demands(rule); {
	case d.Approvers > 1:
		return "rule " + rule + " needs " + itoa(d.Approvers) + " approvers, and second approvers need the organisation's server", true
	case d.Passkey:
		return "rule " + rule + " needs a passkey, which this version cannot check", true
	}
	return "", false
}

// Approvals returns how approvals are given.
func (p *Policy) Approvals() Approvals { return p.approvals }

// Posture returns the mechanisms that must be in force, in a fixed order.
func (p *Policy) Posture() []string { return slices.Clone(p.require) }

// defaultPosture is required where the organisation and the user say nothing.
var defaultPosture = []string{"exec-gate", "file-deny", "staging", "network"}

// where names the place of an id, for the error that finds it twice.
type where struct {
	d  *Document
	at Pos
}

// checkLayers refuses what a layer may not say and ids given twice.
func checkLayers(docs []*Document) error {
	seen := map[string]where{}
	cmds := map[string]bool{}
	for _, d := range docs {
		if err := d.uniqueIDs(seen); err != nil {
			return err
		}
		for i := range d.Cmds {
			cmds[d.Cmds[i].ID] = true
		}
		if d.Layer == LayerProject {
			if err := d.onlyTightens(); err != nil {
				return err
			}
		}
	}
	for _, d := range docs {
		if err := d.knownRules(cmds); err != nil {
			return err
		}
	}
	return checkRelaxed(docs)
}

func (d *Document) uniqueIDs(seen map[string]where) error {
	check := func(id string, at Pos) error {
		if w, dup := seen[id]; dup {
			first := "among the built-in rules"
			if w.d.Name != "" {
				first = "at " + w.d.pos(w.at)
			}
			return d.fault(at, "choose another id", "rule id %q is taken, %s", id, first)
		}
		seen[id] = where{d, at}
		return nil
	}
	for _, list := range [][]FileRule{d.Files.Deny, d.Files.HighRisk} {
		for i := range list {
			if err := check(list[i].ID, list[i].at); err != nil {
				return err
			}
		}
	}
	for i := range d.Files.Except {
		if err := check(d.Files.Except[i].ID, d.Files.Except[i].at); err != nil {
			return err
		}
	}
	for i := range d.Cmds {
		if err := check(d.Cmds[i].ID, d.Cmds[i].at); err != nil {
			return err
		}
	}
	for _, r := range d.Net.IDs() {
		if err := check(r.ID, r.At); err != nil {
			return err
		}
	}
	for _, l := range d.Lend {
		if err := check(l.ID, l.At); err != nil {
			return err
		}
	}
	for _, b := range d.Models.Budgets {
		if err := check(b.ID, b.At); err != nil {
			return err
		}
	}
	return nil
}

// onlyTightens holds a project's layer, which comes with a clone and is as
// untrusted as the code, to deny and ask.
func (d *Document) onlyTightens() error {
	const remedy = "move it to your own policy: a project's policy may only add deny and ask"
	if d.Preset != "" {
		return d.fault(d.presetPos, remedy, "a project's policy names no preset")
	}
	if len(d.Files.Except) > 0 {
		x := d.Files.Except[0]
		return d.fault(x.at, remedy, "exception %s in a project's policy", x.ID)
	}
	if d.Files.Write == "allow" {
		return d.fault(d.Files.writePos, remedy, "files.write: allow in a project's policy")
	}
	for _, c := range d.Cmds {
		if c.Verdict == countersign.Allow {
			return d.fault(c.at, remedy, "rule %s: an allow in a project's policy", c.ID)
		}
	}
	for _, r := range d.Net.IDs() {
		if r.Verdict == countersign.Allow {
			return d.fault(r.At, remedy, "rule %s: an allow in a project's policy", r.ID)
		}
	}
	if field, at := d.Models.Widens(); field != "" {
		return d.fault(at, remedy, "%s in a project's policy", field)
	}
	return nil
}

func (d *Document) knownRules(cmds map[string]bool) error {
	for i, id := range d.Appr.TypedConfirmation {
		if !cmds[id] {
			return d.fault(d.Appr.typedPos[i], "name the id of a command rule", "approvals.typed_confirmation: no rule %q", id)
		}
	}
	for i, id := range d.Appr.Passkey {
		if !cmds[id] {
			return d.fault(d.Appr.passkeyPos[i], "name the id of a command rule", "approvals.passkey: no rule %q", id)
		}
	}
	return nil
}

// settings is what the layers so far add up to. What is unset, nobody said.
type settings struct {
	timeout time.Duration
	require []string
	write   string
}

// checkRelaxed refuses settings of a weaker layer that are looser than those of
// a stronger one: the user's than the organisation's, the project's than what
// is in force without it.
func checkRelaxed(docs []*Document) error {
	var inForce settings
	for _, l := range []Layer{LayerBuiltIn, LayerOrganisation, LayerUser, LayerProject} {
		bound := inForce
		if l == LayerProject {
			bound = inForce.orDefaults()
		}
		for _, d := range docs {
			if d.Layer != l {
				continue
			}
			if err := d.within(bound); err != nil {
				return err
			}
		}
		inForce = inForce.under(docs, l)
	}
	return nil
}

// within reports where the document is looser than bound.
func (d *Document) within(bound settings) error {
	const remedy = "this layer may only be stricter: remove the line, or have it changed in the layer above"
	if bound.timeout > 0 && d.Appr.Timeout > bound.timeout {
		return d.fault(d.Appr.timeoutPos, remedy, "approvals.timeout: %s is longer than the %s in force", d.Appr.Timeout, bound.timeout)
	}
	if d.Post.set {
		for _, m := range bound.require {
			if !slices.Contains(d.Post.Require, m) {
				return d.fault(d.Post.pos, remedy, "posture.require: lacks %s, which is required above", m)
			}
		}
	}
	if d.Files.Write == "allow" && bound.write == "review" {
		return d.fault(d.Files.writePos, remedy, "files.write: allow, where the layer above says review")
	}
	return nil
}

// under returns the settings with those of one layer laid under them. Within a
// layer the strictest word counts.
func (s settings) under(docs []*Document, l Layer) settings {
	var require []string
	set := false
	for _, d := range docs {
		if d.Layer != l {
			continue
		}
		if t := d.Appr.Timeout; t > 0 && (s.timeout == 0 || t < s.timeout) {
			s.timeout = t
		}
		if d.Post.set {
			require, set = append(require, d.Post.Require...), true
		}
		if d.Files.Write == "review" || d.Files.Write != "" && s.write == "" {
			s.write = d.Files.Write
		}
	}
	if set {
		s.require = require
	}
	return s
}

func (s settings) orDefaults() settings {
	if s.timeout == 0 {
		s.timeout = DefaultTimeout
	}
	if s.require == nil {
		s.require = defaultPosture
	}
	if s.write == "" {
		s.write = "review"
	}
	return s
}

// settings puts the sections together that are not rules.
func (p *Policy) settings(docs []*Document) {
	var s settings
	for _, l := range []Layer{LayerBuiltIn, LayerOrganisation, LayerUser} {
		s = s.under(docs, l)
	}
	s = s.orDefaults().under(docs, LayerProject)
	p.write, p.approvals.Timeout = s.write, s.timeout
	for _, m := range mechanisms {
		if slices.Contains(s.require, m) {
			p.require = append(p.require, m)
		}
	}
	for _, d := range docs {
		for i := range d.Cmds {
			c := &d.Cmds[i]
			p.demand(c.ID, func(x *Demands) { x.Approvers, x.Passkey = max(1, c.Approvers), x.Passkey || c.Passkey })
		}
		for _, id := range d.Appr.TypedConfirmation {
			p.demand(id, func(x *Demands) { x.Typed = true })
		}
		for _, id := range d.Appr.Passkey {
			p.demand(id, func(x *Demands) { x.Passkey = true })
		}
	}
	for id, x := range p.demands {
		if x.Typed {
			p.approvals.TypedConfirmation = append(p.approvals.TypedConfirmation, id)
		}
		if x.Passkey {
			p.approvals.Passkey = append(p.approvals.Passkey, id)
		}
	}
	sort.Strings(p.approvals.TypedConfirmation)
	sort.Strings(p.approvals.Passkey)
}

func (p *Policy) demand(id string, set func(*Demands)) {
	d, ok := p.demands[id]
	if !ok {
		d.Approvers = 1
	}
	set(&d)
	p.demands[id] = d
}
