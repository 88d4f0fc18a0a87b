package gateway

import (
	"context"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const claudeAnswer = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_1\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"claude-sonnet-4-5\",\"content\":[],\"stop_reason\":null,\"stop_sequence\":null,\"usage\":{\"input_tokens\":11,\"output_tokens\":1}}}\n\n" +
	"event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n" +
	"event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"countersigned\"}}\n\n" +
	"event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":0}\n\n" +
	"event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\",\"stop_sequence\":null},\"usage\":{\"output_tokens\":3}}\n\n" +
	"event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"

const codexAnswer = "event: response.created\ndata: {\"type\":\"response.created\",\"response\":{\"id\":\"resp_1\",\"object\":\"response\",\"status\":\"in_progress\",\"model\":\"gpt-x\",\"output\":[]}}\n\n" +
	"event: response.output_item.done\ndata: {\"type\":\"response.output_item.done\",\"output_index\":0,\"item\":{\"type\":\"message\",\"id\":\"m1\",\"role\":\"assistant\",\"status\":\"completed\",\"content\":[{\"type\":\"output_text\",\"text\":\"countersigned\",\"annotations\":[]}]}}\n\n" +
	"event: response.completed\ndata: {\"type\":\"response.completed\",\"response\":{\"id\":\"resp_1\",\"object\":\"response\",\"status\":\"completed\",\"model\":\"gpt-x\",\"output\":[],\"usage\":{\"input_tokens\":11,\"input_tokens_details\":{\"cached_tokens\":1},\"output_tokens\":3,\"output_tokens_details\":{\"reasoning_tokens\":0},\"total_tokens\":14}}}\n\n"

// Real agents, where COUNTERSIGN_AGENTS names a directory with their binaries
// (node_modules/.bin), complete a prompt through the gateway.
func TestRealAgents(t *testing.T) {
	bin := os.Getenv("COUNTERSIGN_AGENTS")
	if bin == "" {
		t.Skip("COUNTERSIGN_AGENTS names no directory of agents")
	}
	answer := func(w http.ResponseWriter, req *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		if strings.HasSuffix(req.URL.Path, "/responses") {
			_, _ = io.WriteString(w, codexAnswer)
		} else {
			_, _ = io.WriteString(w, claudeAnswer)
		}
	}
	tests := []struct {
		name string
		argv []string
		env  func(url, home string) []string
	}{
		{"claude", []string{"claude", "-p", "say hi", "--model", "claude-sonnet-4-5"}, func(url, _ string) []string {
			return []string{"ANTHROPIC_BASE_URL=" + url, "ANTHROPIC_API_KEY=" + token, "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC=1", "DISABLE_AUTOUPDATER=1", "IS_SANDBOX=1"}
		}},
		{"codex", []string{"codex", "exec", "--skip-git-repo-check", "say hi"}, func(url, home string) []string {
			if err := os.MkdirAll(filepath.Join(home, ".codex"), 0o700); err != nil {
				t.Fatal(err)
			}
			write(t, filepath.Join(home, ".codex/config.toml"), "model = \"gpt-x\"\nweb_search = \"disabled\"\nmodel_provider = \"gw\"\nsandbox_mode = \"danger-full-access\"\napproval_policy = \"never\"\n[model_providers.gw]\nname = \"gw\"\nbase_url = \""+url+"/v1\"\nenv_key = \"GW\"\nwire_api = \"responses\"\n")
			return []string{"GW=" + token}
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, answer)
			home := t.TempDir()
			ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
			defer cancel()
			cmd := exec.CommandContext(ctx, filepath.Join(bin, tt.argv[0]), tt.argv[1:]...)
			cmd.Dir = home
			cmd.Env = append([]string{"HOME=" + home, "PATH=" + os.Getenv("PATH")}, tt.env(r.gateway.URL, home)...)
			out, err := cmd.CombinedOutput()
			if err != nil || !strings.Contains(string(out), "countersigned") {
				t.Fatalf("%v\n%s", err, out)
			}
			n := map[string]int{}
			for _, rec := range r.untilClosed(t, 2) {
				n[rec.Type]++
				t.Logf("%s %s %v %+v %v", rec.Type, rec.Action.Summary, rec.Decision, rec.Usage, rec.Detail)
			}
			if n["model.response"] == 0 {
				t.Errorf("%v", n)
			}
		})
	}
}
