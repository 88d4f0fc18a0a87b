package advising

import (
	"io"
	"path/filepath"
	"slices"

	"github.com/countersign/countersign/cmd/countersign/base"
	"github.com/countersign/countersign/policy"
	"github.com/countersign/countersign/policy/paths"
	"github.com/countersign/countersign/sandbox/seatbelt"
)

// Seatbelt prints the profile of macOS's sandbox for the policy in force, and says
// what it is not. Of s, what is empty gets a place below the state directory; Denied,
// Own, Person and Real are filled in.
func Seatbelt(a *base.App, from base.PolicyFrom, s seatbelt.Session) error {
	p, _, err := a.ReadPolicy(from)
	if err != nil {
		return err
	}
	dir := filepath.Join(a.Dirs.State, "sessions", s.ID)
	for place, name := range map[*string]string{&s.Project: "tree", &s.Home: "home", &s.Temp: "tmp"} {
		if *place == "" {
			*place = filepath.Join(dir, name)
		}
	}
	s.Real, s.Person, s.Own = from.Project, a.Getenv("HOME"), []string{a.Dirs.State, a.Dirs.Config, a.Dirs.Cache, a.Dirs.Runtime}
	for _, place := range []*string{&s.Project, &s.Home, &s.Temp, &s.Real, &s.Person, &s.Shims} {
		*place = resolved(*place)
	}
	for _, list := range [][]string{s.Own, s.Read, s.Programs} {
		for i := range list {
			list[i] = resolved(list[i])
		}
	}
	slices.Sort(s.Own)
	s.Own = slices.Compact(s.Own)
	s.Denied = denials(p, s)
	text, err := seatbelt.Profile(s)
	if err != nil {
		return err
	}
	if _, err := io.WriteString(a.Out, text); err != nil {
		return err
	}
	a.Say("this is what the policy would be to macOS's sandbox; countersign does not run it, and it was not tried on a macOS")
	a.Say("it gives no exec gate (nobody is asked: what --program and --shims name runs, nothing else), no staging (--tree must be a copy that somebody reviews) and no record")
	a.Say(`refusals are in the unified log alone, which may lose some: log stream --predicate 'eventMessage CONTAINS "countersign %s "'`, s.ID)
	return nil
}

// denials are the policy's, as expressions. The person's home is closed as a whole:
// its rules are said only where some of it may be read.
func denials(p *policy.Policy, s seatbelt.Session) []seatbelt.Denial {
	at := paths.Anchors{Project: seatbelt.Root(s.Project)}
	if len(s.Read) > 0 {
		at.Home = seatbelt.Root(s.Person)
	}
	var out []seatbelt.Denial
	for _, d := range p.Denied() {
		files := d.Rule.Only == "files"
		x := at.Denial(d.Patterns, d.Except, files)
		out = append(out, seatbelt.Denial{
			Rule: d.Rule.ID, Files: files, Match: x.Match, Except: x.Except,
			Under: x.Under, Backup: x.Backup, BackupExcept: x.BackupExcept, Moves: x.Moves,
		})
	}
	return out
}

// resolved is a path as the kernel says it, or the path itself where nothing is there
// yet; an empty one stays empty.
func resolved(path string) string {
	if path == "" {
		return ""
	}
	if abs, err := filepath.Abs(path); err == nil {
		path = abs
	}
	for dir, rest := path, ""; ; dir, rest = filepath.Dir(dir), filepath.Join(filepath.Base(dir), rest) {
		if real, err := filepath.EvalSymlinks(dir); err == nil {
			return filepath.Join(real, rest)
		}
		if dir == filepath.Dir(dir) {
			return path
		}
	}
}
