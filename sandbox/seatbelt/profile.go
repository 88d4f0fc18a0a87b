package seatbelt

import (
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/countersign/countersign"
)

// Denial is a rule of denied paths as regular expressions over absolute paths, to be
// searched for. Denied is what fits Match and none of Except, what fits Under, and
// what fits Backup and none of BackupExcept; Moves are directories that may not be
// moved, if they fit none of Except.
type Denial struct {
	Rule  string // its id
	Files bool   // Match and Backup are about files only

	Match, Except        []string
	Under                []string
	Backup, BackupExcept []string
	Moves                []string
}

// Session is what a profile is for. Paths are absolute, clean and resolved.
type Session struct {
	ID       string
	Project  string   // the agent's tree: the clone that is staged
	Real     string   // the tree that it is a clone of, which is closed; may be empty
	Home     string   // the agent's own
	Person   string   // the person's home, which is closed
	Temp     string   // the session's own
	Read     []string // what else may be read: toolchains
	Own      []string // where Countersign keeps what is its own
	Programs []string // what may be executed,
	Shims    string   // and the directory of the programs that ask first; may be empty
	Terminal string   // the session's, as /dev/ttys004; may be empty
	Gateway  int      // the model door's port on the loopback,
	Door     int      // and that of the network's; 0 where there is none
	Denied   []Denial
}

// writable are the places that the agent may change.
func (s *Session) writable() []string { return []string{s.Project, s.Home, s.Temp} }

// Profile writes the profile of a session, or says why there is none.
func Profile(s Session) (string, error) {
	if err := s.check(); err != nil {
		return "", err
	}
	var b strings.Builder
	b.WriteString("; Written by countersign. See docs/platforms.md for what this closes and what it does not.\n")
	part := func(title string, forms []form) {
		b.WriteString("\n; " + title + "\n")
		for _, f := range forms {
			f.write(&b, "")
			b.WriteByte('\n')
		}
	}
	part("What nothing below names is denied.", []form{
		list(word("version"), word("1")),
		s.deny("default", []string{"default"}),
	})
	part("Processes: the named programs and no other; no hand on what is outside.", s.processes())
	part("Services that act for who asks them, outside.", s.services())
	part("The doors, and no other connection.", s.network())
	part("What the agent works on.", s.work())
	part("Denied names, of files that do not exist yet too.", s.denied())
	part("Whole trees that are closed.", s.closed())
	part("The system's own places, where names mean nothing.", s.system())
	return b.String(), nil
}

// deny is a rule that leaves its name in the log.
func (s *Session) deny(rule string, ops []string, filters ...form) form {
	return verdict("deny", ops, append(filters, list(word("with"), word("message"), text("countersign "+s.ID+" "+rule))))
}

func allow(ops []string, filters ...form) form { return verdict("allow", ops, filters) }

func verdict(what string, ops []string, filters []form) form {
	out := []form{word(what)}
	for _, op := range ops {
		out = append(out, word(op))
	}
	return list(append(out, filters...)...)
}

func (s *Session) check() error {
	if !idForm.MatchString(s.ID) {
		return invalid("session "+s.ID, "its id is not letters, digits and '-'", "")
	}
	places := map[string][]string{
		"the project": {s.Project}, "the agent's home": {s.Home}, "the person's home": {s.Person}, "the temporary directory": {s.Temp},
		"what may be read": s.Read, "Countersign's own": s.Own, "the program": s.Programs,
	}
	for what, p := range map[string]string{"the real tree": s.Real, "the shims": s.Shims, "the terminal": s.Terminal} {
		if p != "" {
			places[what] = []string{p}
		}
	}
	for what, all := range places {
		for _, p := range all {
			if err := clean(what, p); err != nil {
				return err
			}
		}
	}
	if s.Terminal != "" && !ttyForm.MatchString(s.Terminal) {
		return invalid("the terminal "+s.Terminal, "it is none", "give it as /dev/ttysNNN")
	}
	for _, port := range []int{s.Gateway, s.Door} {
		if port < 0 || port > 65535 {
			return invalid(fmt.Sprint("port ", port), "it is none", "give 1 to 65535, or 0 for none")
		}
	}
	if err := s.checkTrees(); err != nil {
		return err
	}
	return s.checkRules()
}

// checkTrees refuses places that would undo one another.
func (s *Session) checkTrees() error {
	programs := s.Programs
	if s.Shims != "" {
		programs = append(slices.Clone(programs), s.Shims)
	}
	for _, w := range s.writable() {
		for _, p := range programs {
			if within(p, w) || within(w, p) {
				return invalid("the program "+p, "the agent could write it, in "+w, "install it elsewhere")
			}
		}
		closed := append(slices.Clone(s.Own), s.Person)
		if s.Real != "" {
			closed = append(closed, s.Real)
		}
		for _, c := range closed {
			if within(c, w) {
				return invalid(c, "it lies where the agent may write, in "+w, "keep it elsewhere")
			}
		}
	}
	for _, r := range s.Read {
		for _, c := range append(slices.Clone(s.Own), s.Person) {
			if within(c, r) {
				return invalid(r, "to read it would be to read "+c, "name what is needed in it")
			}
		}
	}
	return nil
}

// checkRules refuses expressions that no profile may have, and a session that lies
// where a rule denies everything.
func (s *Session) checkRules() error {
	for _, d := range s.Denied {
		if !ruleForm.MatchString(d.Rule) {
			return invalid("rule "+d.Rule, "no message can name it", "")
		}
		trees := s.writable()
		if err := d.check(d.Under, trees); err != nil {
			return err
		}
		if d.Files {
			trees = nil // they are directories
		}
		if err := d.check(d.Match, trees); err != nil {
			return err
		}
		if err := d.check(slices.Concat(d.Except, d.Backup, d.BackupExcept, d.Moves), nil); err != nil {
			return err
		}
	}
	return nil
}

func (d *Denial) check(all, trees []string) error {
	for _, src := range all {
		re, err := regexp.Compile(src)
		if err != nil || src == "" || !printable(src) || strings.Contains(src, "(?") {
			return invalid("rule "+d.Rule, "its expression "+src+" is none", "")
		}
		for _, dir := range trees {
			if re.MatchString(dir) {
				return invalid(dir, "rule "+d.Rule+" denies the directory or one that it lies in", "keep it elsewhere")
			}
		}
	}
	return nil
}

// within reports whether p is dir or lies in it, whatever the case of letters.
func within(p, dir string) bool {
	p, dir = last(names(p)), last(names(dir))
	return strings.EqualFold(p, dir) || len(p) > len(dir) && p[len(dir)] == '/' && strings.EqualFold(p[:len(dir)], dir)
}

func last(s []string) string { return s[len(s)-1] }

var (
	idForm   = regexp.MustCompile(`^[A-Za-z0-9-]{1,64}$`)
	ruleForm = regexp.MustCompile(`^[a-z0-9_:.-]{1,256}$`)
	ttyForm  = regexp.MustCompile(`^/dev/ttys[0-9]{1,4}$`)
)

func invalid(thing, why, remedy string) error {
	return &countersign.Error{Code: countersign.EInvalid, Op: "write a Seatbelt profile", Thing: thing, Err: errors.New(why), Remedy: remedy}
}

// above are the directories on the way to a path, which a program looks at, not into.
func above(paths []string) []string {
	out := []string{"/"}
	for _, p := range paths {
		for p = path.Dir(p); p != "/"; p = path.Dir(p) {
			out = append(out, p)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}
