package review

import (
	"path"
	"regexp"
	"strings"

	countersign "github.com/countersign/countersign"
	"github.com/countersign/countersign/workspace/tree"
)

// markRisk sets the risk of hunks: what the policy says of the path, and what
// this room knows of kinds of change that reach further than their bytes.
func markRisk(hs []countersign.Hunk, risk func(string) (countersign.Risk, string)) {
	bare := bareRepositories(hs)
	for i := range hs {
		h := &hs[i]
		h.Risk, h.Why = countersign.RiskNormal, ""
		if risk != nil {
			for _, p := range []string{h.Path, h.OldPath} {
				if h.NewMode == tree.ModeDir {
					p += "/"
				}
				if r, why := risk(p); p != "" && r == countersign.RiskHigh && h.Risk != countersign.RiskHigh {
					h.Risk, h.Why = r, why
				}
			}
		}
		if h.Unread() {
			h.Risk, h.Why = countersign.RiskHigh, strings.TrimPrefix(h.Why+"; its content is not read: it is moved as it is", "; ")
		}
		if h.Risk == countersign.RiskHigh {
			continue
		}
		if why := ownRisk(*h); why != "" {
			h.Risk, h.Why = countersign.RiskHigh, why
		} else if d := within(h.Path, bare); d != "" {
			h.Risk, h.Why = countersign.RiskHigh, "belongs to a git repository made inside, in "+d
		}
	}
}

func ownRisk(h countersign.Hunk) string {
	for e := range strings.SplitSeq(h.Path, "/") {
		if tree.GitName(e) {
			return "belongs to a git repository made inside: git runs its hooks and configuration"
		}
	}
	if h.NewMode&0o7000 != 0 && h.NewMode != h.OldMode {
		return "sets a set-user-id, set-group-id or sticky bit"
	}
	if tree.IsSymlink(h.NewMode) && h.Op != countersign.OpMode {
		target := string(h.Post)
		if h.Op == countersign.OpRename {
			return "" // the link itself is unchanged; apply refuses one that would leave the root
		}
		if tree.Leaves(h.Path, target) {
			return "a symlink that points out of the project"
		}
		for e := range strings.SplitSeq(path.Join(path.Dir(h.Path), target), "/") {
			if tree.GitName(e) {
				return "a symlink into git's directory"
			}
		}
	}
	if h.Op == countersign.OpCreate && path.Base(h.Path) == "HEAD" && headFile.Match(h.Post) {
		return "makes its directory look like a bare git repository"
	}
	return ""
}

var headFile = regexp.MustCompile(`^(ref:\s|[0-9a-fA-F]{40})`)

// bareRepositories finds the directories that the changes make a repository of,
// without one being called ".git": a HEAD beside objects or refs.
func bareRepositories(hs []countersign.Hunk) map[string]bool {
	heads, dbs := map[string]bool{}, map[string]bool{}
	for _, h := range hs {
		if h.Op == countersign.OpDelete {
			continue
		}
		if path.Base(h.Path) == "HEAD" {
			heads[path.Dir(h.Path)] = true
		}
		for d := path.Dir(h.Path); d != "."; d = path.Dir(d) {
			if b := path.Base(d); b == "objects" || b == "refs" {
				dbs[path.Dir(d)] = true
			}
		}
	}
	for d := range heads {
		if !dbs[d] {
			delete(heads, d)
		}
	}
	return heads
}

func within(p string, dirs map[string]bool) string {
	if len(dirs) == 0 {
		return ""
	}
	for d := path.Dir(p); ; d = path.Dir(d) {
		if dirs[d] {
			return d
		}
		if d == "." {
			return ""
		}
	}
}
