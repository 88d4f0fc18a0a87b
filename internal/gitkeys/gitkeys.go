// Package gitkeys knows which keys of a git configuration are inert: they start
// no program, include no file and carry no credential, and how keys are written, and
// what hooks are called. It is a list of what is harmless, so that it stays right when
// git learns a new key. It is pure.
package gitkeys

import (
	"net/url"
	"slices"
	"strings"
)

// Setting is one line of a git configuration: section.[subsection.]name.
type Setting struct{ Key, Value string }

// Parts splits the key; section and name are lower-case, as git compares them.
func (s Setting) Parts() (section, sub, name string) {
	section, rest, _ := strings.Cut(s.Key, ".")
	if i := strings.LastIndexByte(rest, '.'); i >= 0 {
		sub, rest = rest[:i], rest[i+1:]
	}
	return strings.ToLower(section), sub, strings.ToLower(rest)
}

// inert are the names of each section that name no program, no file to include
// and no credential. Everything else is left out: a list of what is harmless
// stays right when git learns a new key.
var inert = map[string]string{
	"core":       "repositoryformatversion filemode bare logallrefupdates ignorecase precomposeunicode symlinks autocrlf eol safecrlf quotepath whitespace abbrev checkstat trustctime untrackedcache protecthfs protectntfs sparsecheckout sparsecheckoutcone bigfilethreshold compression loosecompression checkroundtripencoding preferfileformat worktree commentchar preloadindex",
	"extensions": "objectformat partialclone compatobjectformat worktreeconfig",
	"branch":     "remote merge rebase description pushremote autosetupmerge autosetuprebase sort",
	"remote":     "url fetch tagopt prune prunetags pushurl push promisor partialclonefilter skipdefaultupdate skipfetchall mirror",
	"user":       "name email useconfigonly", "author": "name email", "committer": "name email",
	"init": "defaultbranch", "pull": "rebase ff octopus", "push": "default autosetupremote followtags",
	"fetch": "prune prunetags", "merge": "ff conflictstyle renames renamelimit log stat autostash verifysignatures",
	"rebase": "autosquash autostash updaterefs stat abbreviatecommands missingcommitscheck",
	"diff":   "algorithm renames renamelimit mnemonicprefix noprefix context interhunkcontext colormoved indentheuristic submodule ignoresubmodules wordregex binary",
	"status": "*", "color": "*", "column": "*", "i18n": "*", "advice": "*", "stash": "showpatch showstat showincludeuntracked",
	"submodule": "url active branch ignore fetchrecursesubmodules", "tag": "sort", "log": "date decorate follow abbrevcommit",
	"commit": "cleanup status verbose", "apply": "whitespace ignorewhitespace", "index": "version sparse", "sparse": "expectfilesoutsideofpatterns", "feature": "manyfiles",
	"url": "pushinsteadof", "rerere": "enabled autoupdate", "gc": "auto autodetach autopacklimit packrefs pruneexpire reflogexpire reflogexpireunreachable worktreepruneexpire", "maintenance": "auto", "pack": "*", "versionsort": "suffix", "blame": "*", "grep": "linenumber patterntype extendedregexp fullname",
}

// Inert tells whether a setting can start no program and carries no secret.
func (s Setting) Inert() bool {
	section, _, name := s.Parts()
	if section == "submodule" && name == "update" { // of which any other may be a command
		return slices.Contains([]string{"checkout", "rebase", "merge", "none"}, s.Value)
	}
	names, ok := inert[section]
	if !ok {
		return false
	}
	if names == "*" {
		return true
	}
	for _, n := range strings.Fields(names) {
		if n == name {
			return true
		}
	}
	return false
}

// Clean returns the settings a session may have and the keys it may not.
func Clean(all []Setting) (kept []Setting, refused []string) {
	for _, s := range all {
		if !s.Inert() {
			refused = append(refused, s.Key)
			continue
		}
		section, _, name := s.Parts()
		if (section == "remote" || section == "branch" || section == "submodule") && strings.Contains(s.Value, "::") || section == "url" && strings.Contains(s.Key, "::") {
			refused = append(refused, s.Key) // a remote helper: a program
			continue
		}
		if section == "remote" && (name == "url" || name == "pushurl") {
			s.Value = withoutUser(s.Value)
		}
		kept = append(kept, s)
	}
	return kept, refused
}

// withoutUser takes user name and password out of a URL.
func withoutUser(s string) string {
	u, err := url.Parse(s)
	if err != nil || u.User == nil || u.Scheme == "" {
		return s
	}
	if u.Scheme == "ssh" {
		if _, has := u.User.Password(); !has {
			return s
		}
	}
	u.User = nil
	return u.String()
}
