package gitview

import "github.com/countersign/countersign/internal/gitkeys"

// PushURL is what every push inside is aimed at: no helper and no path of that
// name exists, so git answers with these words.
const PushURL = "/countersign: pushing is done outside the session, run git push in your own terminal"

// sessionConfig is the configuration a session's git directory starts with.
func sessionConfig(all []gitkeys.Setting, r sessionRepo, u userConfig) []gitkeys.Setting {
	kept, _ := gitkeys.Clean(all)
	has, partial := map[string]bool{}, false
	out := kept[:0:0]
	for _, s := range kept {
		section, _, name := s.Parts()
		switch {
		case section == "core" && (name == "worktree" || name == "checkstat" || name == "trustctime" || name == "repositoryformatversion"):
			continue
		case section == "gc" && name == "auto", section == "maintenance",
			section == "extensions" && name == "worktreeconfig": // what it would have read is not carried in
			continue
		case section == "extensions" && name == "partialclone", section == "remote" && name == "promisor":
			partial = true
			continue
		case section == "remote" && (name == "partialclonefilter" || name == "pushurl"):
			continue
		}
		has[section+"."+name] = true
		out = append(out, s)
	}
	out = append(out, gitkeys.Setting{Key: "core.checkStat", Value: "minimal"}, gitkeys.Setting{Key: "core.trustctime", Value: "false"},
		gitkeys.Setting{Key: "maintenance.auto", Value: "false"}, gitkeys.Setting{Key: "gc.auto", Value: "0"}, // no further command after each commit
		gitkeys.Setting{Key: "core.untrackedCache", Value: "true"}, // to read directories is what git status spends its time on
		gitkeys.Setting{Key: "url." + PushURL + " .pushInsteadOf", Value: ""})
	for _, s := range out[:len(out):len(out)] {
		if section, sub, name := s.Parts(); section == "remote" && name == "url" {
			out = append(out, gitkeys.Setting{Key: "remote." + sub + ".pushurl", Value: PushURL})
		}
	}
	version := "0"
	if has["extensions.objectformat"] || partial {
		version = "1"
	}
	out = append(out, gitkeys.Setting{Key: "core.repositoryformatversion", Value: version})
	if r.worktree != "" {
		out = append(out, gitkeys.Setting{Key: "core.worktree", Value: r.worktree})
	}
	if !has["user.name"] && u.name != "" {
		out = append(out, gitkeys.Setting{Key: "user.name", Value: u.name})
	}
	if !has["user.email"] && u.email != "" {
		out = append(out, gitkeys.Setting{Key: "user.email", Value: u.email})
	}
	if partial {
		out = append(out, gitkeys.Setting{Key: "extensions.partialClone", Value: promisor}, gitkeys.Setting{Key: "remote." + promisor + ".url", Value: "/countersign: this content was never fetched, run git there in your own terminal"},
			gitkeys.Setting{Key: "remote." + promisor + ".promisor", Value: "true"}, gitkeys.Setting{Key: "remote." + promisor + ".skipFetchAll", Value: "true"})
	}
	return out
}

// promisor is the remote of a session whose real repository is a partial clone.
const promisor = "countersign-unfetched"
