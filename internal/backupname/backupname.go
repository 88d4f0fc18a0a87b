// Package backupname knows the names that editors and people give to a copy of
// a file: what stood in credentials.json stands in credentials.json~ too. It is
// pure.
package backupname

import "strings"

var suffixes = []string{"~", ".bak", ".backup", ".old", ".orig", ".save", ".saved", ".copy", ".tmp", ".swp", ".swo", ".swn", ".rej", ".dpkg-old", ".dpkg-new", ".rpmsave", ".1"}

// Of returns the name of the file that name is a backup of, by the habits of
// Emacs (NAME~, NAME.~1~, #NAME#, .#NAME), vim (.NAME.swp, NAME~), nano
// (NAME.save), patch (NAME.orig) and people (NAME.bak, NAME.old).
func Of(name string) (original string, ok bool) {
	for range 3 { // a backup of a backup
		next := once(name)
		if next == name || next == "" {
			break
		}
		name, ok = next, true
	}
	return name, ok
}

func once(name string) string {
	if inner, found := strings.CutPrefix(name, ".#"); found {
		return inner
	}
	if len(name) > 2 && name[0] == '#' && name[len(name)-1] == '#' {
		return name[1 : len(name)-1]
	}
	for _, s := range suffixes {
		inner, found := strings.CutSuffix(name, s)
		if !found {
			continue
		}
		if strings.HasPrefix(s, ".sw") {
			inner = strings.TrimPrefix(inner, ".")
		}
		if s == "~" { // NAME.~1~
			if i := strings.LastIndex(inner, ".~"); i > 0 {
				inner = inner[:i]
			}
		}
		return inner
	}
	return name
}
