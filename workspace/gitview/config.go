package gitview

import (
	"bytes"
	"context"
	"fmt"
	"net/url"
	"strings"
)

// PushURL is what every push inside is aimed at: no helper and no path of that
// name exists, so git answers with these words.
const PushURL = "/countersign: pushing is done outside the session, run git push in your own terminal"

// setting is one line of a git configuration: section.[subsection.]name.
type setting struct{ key, value string }

func (s setting) parts() (section, sub, name string) {
	section, rest, _ := strings.Cut(s.key, ".")
	if i := strings.LastIndexByte(rest, '.'); i >= 0 {
		sub, rest = rest[:i], rest[i+1:]
	}
	return strings.ToLower(section), sub, strings.ToLower(rest)
}

// parseConfig has git read configuration text (git-config(1) --file -): includes
// are not followed, nothing is run.
func parseConfig(ctx context.Context, text []byte) ([]setting, error) {
	out, err := call{in: bytes.NewReader(text), repo: Repo{}, work: "/"}.run(ctx, "config", "--file", "-", "--no-includes", "--list", "-z")
	if err != nil {
		return nil, err
	}
	var all []setting
	for _, kv := range splitZ(out) {
		key, value, _ := strings.Cut(kv, "\n")
		all = append(all, setting{key, value})
	}
	return all, nil
}

// inert are the names of each section that name no program, no file to include
// and no credential. Everything else is left out: a list of what is harmless
// stays right when git learns a new key.
var inert = map[string]string{
	"core":       "repositoryformatversion filemode bare logallrefupdates ignorecase precomposeunicode symlinks autocrlf eol safecrlf quotepath whitespace abbrev checkstat trustctime untrackedcache protecthfs protectntfs sparsecheckout sparsecheckoutcone bigfilethreshold compression loosecompression checkroundtripencoding preferfileformat worktree commentchar preloadindex",
	"extensions": "objectformat partialclone compatobjectformat",
	"branch":     "remote merge rebase description pushremote autosetupmerge autosetuprebase sort",
	"remote":     "url fetch tagopt prune prunetags pushurl push promisor partialclonefilter skipdefaultupdate skipfetchall mirror",
	"user":       "name email useconfigonly", "author": "name email", "committer": "name email",
	"init": "defaultbranch", "pull": "rebase ff octopus", "push": "default autosetupremote followtags",
	"fetch": "prune prunetags", "merge": "ff conflictstyle renames renamelimit log stat autostash verifysignatures",
	"rebase": "autosquash autostash updaterefs stat abbreviatecommands missingcommitscheck",
	"diff":   "algorithm renames renamelimit mnemonicprefix noprefix context interhunkcontext colormoved indentheuristic submodule ignoresubmodules wordregex binary",
	"status": "*", "color": "*", "column": "*", "i18n": "*", "advice": "*", "stash": "showpatch showstat showincludeuntracked",
	"submodule": "url active branch ignore fetchrecursesubmodules", "tag": "sort", "log": "date decorate follow abbrevcommit",
	"commit": "cleanup status verbose", "apply": "whitespace ignorewhitespace", "index": "version", "feature": "manyfiles",
	"url": "pushinsteadof", "rerere": "enabled autoupdate", "gc": "auto autodetach autopacklimit packrefs pruneexpire reflogexpire reflogexpireunreachable worktreepruneexpire", "maintenance": "auto", "pack": "*", "versionsort": "suffix", "blame": "*", "grep": "linenumber patterntype extendedregexp fullname",
}

// Inert tells whether a setting can start no program and carries no secret.
func (s setting) inert() bool {
	section, _, name := s.parts()
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

// clean returns the settings a session may have and the keys it may not.
func clean(all []setting) (kept []setting, refused []string) {
	for _, s := range all {
		if !s.inert() {
			refused = append(refused, s.key)
			continue
		}
		section, _, name := s.parts()
		if (section == "remote" || section == "branch" || section == "submodule") && strings.Contains(s.value, "::") || section == "url" && strings.Contains(s.key, "::") {
			refused = append(refused, s.key) // a remote helper: a program
			continue
		}
		if section == "remote" && (name == "url" || name == "pushurl") {
			s.value = withoutUser(s.value)
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

// sessionConfig is the configuration a session's git directory starts with.
func sessionConfig(all []setting, r sessionRepo, u userConfig, filtered bool) []setting {
	kept, _ := clean(all)
	has := map[string]bool{}
	out := kept[:0:0]
	for _, s := range kept {
		section, _, name := s.parts()
		switch {
		case section == "core" && (name == "worktree" || name == "checkstat" || name == "trustctime" || name == "repositoryformatversion"):
			continue
		case section == "gc" && name == "auto", section == "maintenance":
			continue
		case section == "extensions" && name == "partialclone", section == "remote" && (name == "promisor" || name == "partialclonefilter" || name == "pushurl"):
			continue
		}
		has[section+"."+name] = true
		out = append(out, s)
	}
	out = append(out, setting{"core.checkStat", "minimal"}, setting{"core.trustctime", "false"},
		setting{"maintenance.auto", "false"}, setting{"gc.auto", "0"}, // no further command after each commit
		setting{"url." + PushURL + " .pushInsteadOf", ""})
	if r.untracked {
		out = append(out, setting{"core.untrackedCache", "true"})
	}
	for _, s := range out[:len(out):len(out)] {
		if section, sub, name := s.parts(); section == "remote" && name == "url" {
			out = append(out, setting{"remote." + sub + ".pushurl", PushURL})
		}
	}
	version := "0"
	if has["extensions.objectformat"] || filtered {
		version = "1"
	}
	out = append(out, setting{"core.repositoryformatversion", version})
	if r.worktree != "" {
		out = append(out, setting{"core.worktree", r.worktree})
	}
	if !has["user.name"] && u.name != "" {
		out = append(out, setting{"user.name", u.name})
	}
	if !has["user.email"] && u.email != "" {
		out = append(out, setting{"user.email", u.email})
	}
	if filtered {
		out = append(out, setting{"extensions.partialClone", promisor}, setting{"remote." + promisor + ".url", "/countersign: this content is denied"},
			setting{"remote." + promisor + ".promisor", "true"}, setting{"remote." + promisor + ".skipFetchAll", "true"})
	}
	return out
}

const promisor = "countersign-denied"

// formatConfig writes settings as git reads them (git-config(1), "Syntax").
func formatConfig(all []setting) []byte {
	var b bytes.Buffer
	last := ""
	for _, s := range all {
		section, sub, name := s.parts()
		head := "[" + section + "]"
		if sub != "" {
			head = fmt.Sprintf("[%s \"%s\"]", section, strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(sub))
		}
		if head != last {
			b.WriteString(head + "\n")
			last = head
		}
		v := strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`, "\t", `\t`, "\b", `\b`).Replace(s.value)
		fmt.Fprintf(&b, "\t%s = \"%s\"\n", name, v)
	}
	return b.Bytes()
}
