package gitkeys

import "testing"

func TestCleanKeepsWhatStartsNothing(t *testing.T) {
	tests := []struct {
		key, value string
		kept       bool
	}{
		{"branch.main.remote", "origin", true},
		{"remote.origin.url", "https://example.com/x.git", true},
		{"user.name", "a", true},
		{"core.fsmonitor", "evil", false},
		{"core.hooksPath", "/tmp", false},
		{"core.sshCommand", "evil", false},
		{"alias.x", "!evil", false},
		{"include.path", "/x", false},
		{"filter.x.clean", "evil", false},
		{"diff.x.command", "evil", false},
		{"credential.helper", "evil", false},
		{"remote.origin.url", "ext::evil", false},
		{"a.key.git.never.had", "x", false},
		{"submodule.s.update", "rebase", true},
		{"init.templateDir", "/x", false},
		{"submodule.s.update", "!evil", false},
		{"submodule.s.update", "checkout rebase", false},
	}
	for _, tt := range tests {
		kept, refused := Clean([]Setting{{tt.key, tt.value}})
		if (len(kept) == 1) != tt.kept || len(kept)+len(refused) != 1 {
			t.Errorf("%s=%s: kept %v, refused %v", tt.key, tt.value, kept, refused)
		}
	}
	kept, _ := Clean([]Setting{{"remote.o.url", "https://me:secret@example.com/x"}})
	if len(kept) != 1 || kept[0].Value != "https://example.com/x" {
		t.Errorf("a password stayed in %v", kept)
	}
}
