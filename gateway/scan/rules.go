package scan

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"
	"sync"
)

//go:embed rules.json
var gitleaks []byte

//go:embed extra.json
var extra []byte

// ruleFile is how rules are kept as data; convert writes it.
type ruleFile struct {
	Source  string     `json:"source"`
	Licence string     `json:"licence"`
	Version string     `json:"version"`
	Allow   allowData  `json:"allow"`
	Rules   []ruleData `json:"rules"`
}

type ruleData struct {
	ID       string      `json:"id"`
	Regex    string      `json:"regex"`
	Keywords []string    `json:"keywords"` // lower case; one of them stands in a match, or close to it
	Entropy  float64     `json:"entropy"`  // the secret's must be larger, in bits a byte
	Group    int         `json:"group"`    // that is the secret; 0: the first that is not empty
	Whole    bool        `json:"whole"`    // the secret is the match, whatever its groups
	Low      bool        `json:"low"`      // ordinary code has such too
	Reach    int         `json:"reach"`    // most bytes of a match that has no bound of its own
	Soon     int         `json:"soon"`     // bytes after which, if not before, a match has ended or goes on to the bound
	Run      int         `json:"run"`      // characters of base64 in one piece that a match must have
	Cut      bool        `json:"cut"`      // what reaches that bound counts
	Needs    []string    `json:"needs"`    // in lower case: each of them stands in reach
	Allow    []allowData `json:"allow"`
}

// Rules are ready to be asked by any number of Scanners.
type Rules struct {
	// Version names the data, for records.
	Version string

	list   []rule
	words  *automaton // for texts that come in pieces
	find   *finder    // for whole ones
	byWord [][]int    // rules, by the id of a word
	reach  int        // the most bytes that any rule looks at on one side
}

// rule is one rule and how far it looks around a keyword.
type rule struct {
	ruleData
	anchored bool // a match begins with the keyword
	lead     bool // runs of [\w.-] before it belong to the match, not to the secret
	assigns  bool // an operator must follow soon
	digit    bool // the value must have more than letters
	edge     bool // no letter or digit may stand before
	before   int  // bytes looked at before the keyword
	after    int  // and from its beginning on

	first, later func() *regexp.Regexp // for a keyword at the beginning of the text, and behind
	allow        []allowance
}

// The parts that most of gitleaks' rules share. What ends a secret is made wider
// than there, for prose and addresses: "(KEY)", "KEY, please", "?k=KEY&x".
const (
	endPart    = "(?:[\\x60'\"\\s;]|\\\\[nr]|$)"
	widerEnd   = "(?:[\\x60'\"\\s;,&<>(){}\\[\\]|?#:!*]|\\.(?:\\s|$)|\\\\[nrt\"]|$)"
	leadPart   = `[\w.-]{0,50}?`
	assignPart = `(?:[ \t\w.-]{0,20})[\s'"]{0,3}`
	leadBytes  = 50
)

// Bounds of what has none, in bytes.
const (
	around   = 512      // to both sides of a keyword that need not begin the match
	longAway = 16 << 10 // for a match without a bound
	lineAway = 256      // of a line, to both sides of a match
)

// Load makes the rules of this program.
func Load() (*Rules, error) {
	r := &Rules{reach: around}
	ids := map[string]int{}
	var words []string
	var global []allowance
	for _, src := range [][]byte{gitleaks, extra} {
		var f ruleFile
		if err := json.Unmarshal(src, &f); err != nil {
			return nil, fmt.Errorf("read the rules of secrets: %w", err)
		}
		r.Version = strings.TrimSpace(r.Version + " " + f.Source + "@" + f.Version)
		global = append(global, allowed(f.Allow))
		for _, d := range f.Rules {
			one, err := newRule(d, global)
			if err != nil {
				return nil, fmt.Errorf("read the rule of secrets %s: %w", d.ID, err)
			}
			for _, w := range d.Keywords {
				if _, ok := ids[w]; !ok {
					ids[w] = len(words)
					words, r.byWord = append(words, w), append(r.byWord, nil)
				}
				r.byWord[ids[w]] = append(r.byWord[ids[w]], len(r.list))
			}
			r.list = append(r.list, one)
			r.reach = max(r.reach, one.before, one.after)
		}
	}
	r.words, r.find = newAutomaton(words), newFinder(words)
	return r, nil
}

// Names returns the rules that a finding may name, sorted.
func (r *Rules) Names() []string {
	out := []string{DeniedFile, ProviderKey}
	for i := range r.list {
		out = append(out, r.list[i].ID)
	}
	slices.Sort(out)
	return out
}

func newRule(d ruleData, global []allowance) (rule, error) {
	one := rule{ruleData: d, assigns: strings.Contains(d.Regex, assignPart)}
	pattern := d.Regex
	if !d.Low {
		pattern = strings.ReplaceAll(pattern, endPart, widerEnd)
	}
	// The lead is found by hand, so that the pattern begins with the keyword.
	if rest, ok := strings.CutPrefix(pattern, "(?i)"+leadPart); ok && one.assigns {
		pattern, one.lead = "(?i)"+rest, true
	} else if rest, ok := strings.CutPrefix(pattern, leadPart+"(?i:"+leadPart); ok && one.assigns {
		pattern, one.lead = "(?i:"+rest, true
	}
	tree, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return one, err
	}
	reach := longest(tree)
	if d.Reach > 0 {
		reach = min(reach, d.Reach)
	}
	reach = min(reach, longAway)
	one.anchored = begins(tree, d.Keywords)
	one.assigns = one.assigns && one.anchored && tree.Op != syntax.OpAlternate && plainWords(pattern)
	one.before, one.after = leadBytes, reach+8
	if !one.anchored {
		one.before, one.after = min(reach, around), min(reach, max(around, d.Reach))
	}
	one.edge = one.anchored && strings.HasPrefix(strings.TrimPrefix(pattern, "(?i)"), `\b`)
	one.digit = slices.ContainsFunc(d.Allow, func(a allowData) bool { return slices.Contains(a.Regexes, `^[a-zA-Z_.-]+$`) })
	one.first = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile("^(?:" + pattern + ")") })
	one.later = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile("^(?s:.)(?:" + pattern + ")") })
	if !one.anchored {
		one.first = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(pattern) })
	}
	for _, a := range d.Allow {
		one.allow = append(one.allow, allowed(a))
	}
	one.allow = append(one.allow, global...)
	return one, nil
}

// plainWords reports whether the words of an assignment's name are of such
// characters as may stand between the keyword and the operator.
func plainWords(pattern string) bool {
	words, _, _ := strings.Cut(pattern, assignPart)
	return !strings.ContainsAny(strings.NewReplacer("[_.-]", "", `\.`, "").Replace(words), ".,~")
}
