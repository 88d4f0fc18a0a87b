package card

import (
	"slices"
	"strings"

	"github.com/countersign/countersign"
)

// lends says what secrets a command gets, and what of its environment it does not.
func (p *page) lends(ls []countersign.Lend) {
	if len(ls) == 0 {
		return
	}
	var kept []string
	for _, l := range ls {
		p.put(Warn, "LENDS "+p.clean(l.Name)+" to this command")
		p.field("its value", l.From+" (rule "+l.Rule+")")
		for _, n := range l.Env {
			if !slices.Contains(kept, n) {
				kept = append(kept, n)
			}
		}
	}
	p.put(Normal, "NOTE: it runs apart from the agent, which sees its output with the value masked. Whatever the command loads or starts has the value too, what the agent wrote in the project included.")
	if len(kept) == 0 {
		p.put(Normal, "NOTE: its environment is the session's, without a home; the variables below are not passed on.")
	} else {
		p.put(Normal, "NOTE: its environment is the session's, without a home; of the variables below only these are passed on: "+p.clean(strings.Join(kept, " ")))
	}
}
