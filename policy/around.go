package policy

import (
	"slices"

	"github.com/countersign/countersign/policy/paths"
)

// Around gives a project's document its place where it is of a repository around
// the project: the project lies at below, relative and with slashes, from that
// repository's root, which the document's "/" and "./" go on to mean. Its ids get
// prefix before them, so that they cannot be taken for the project's own.
func (d *Document) Around(below, prefix string) *Document {
	out := *d
	out.Below = below
	name := func(id string) string { return prefix + id }
	out.Files.Deny = withLayer(d.Files.Deny, func(r *FileRule) { r.ID = name(r.ID) })
	out.Files.HighRisk = withLayer(d.Files.HighRisk, func(r *FileRule) { r.ID = name(r.ID) })
	out.Cmds = withLayer(d.Cmds, func(c *Command) { c.ID, c.below = name(c.ID), below })
	out.Net = d.Net.Renamed(name)
	out.Models.Budgets = slices.Clone(d.Models.Budgets)
	for i := range out.Models.Budgets {
		out.Models.Budgets[i].ID = name(out.Models.Budgets[i].ID)
	}
	out.Appr.TypedConfirmation, out.Appr.Passkey = nil, nil
	for _, id := range d.Appr.TypedConfirmation {
		out.Appr.TypedConfirmation = append(out.Appr.TypedConfirmation, name(id))
	}
	for _, id := range d.Appr.Passkey {
		out.Appr.Passkey = append(out.Appr.Passkey, name(id))
	}
	return &out
}

// outerFiles are the file rules of a document whose root lies above the project's.
type outerFiles struct {
	below      string
	deny, risk *fileSet
}

// filesOf are the sets that a document's rules go to.
func (p *Policy) filesOf(d *Document) (deny, risk *fileSet) {
	if d.Below == "" {
		return p.deny, p.risk
	}
	p.outer = append(p.outer, outerFiles{d.Below, newFileSet(), newFileSet()})
	o := p.outer[len(p.outer)-1]
	return o.deny, o.risk
}

// from is a target of the project as the root above it sees it.
func from(below string, t paths.Target) paths.Target {
	if below != "" && t.At == paths.InProject {
		t.Names = append(paths.Roots{}.Cut(below, nil).Names, t.Names...)
	}
	return t
}
