package e2e

import "testing"

// others are agents that have a profile and are started here with one command each.
var others = []vendor{
	{
		"qwen", "@qwen-code/qwen-code", "0.24.4", "openai", "/v1",
		[]string{"qwen", "-m", "qwen-x", "-p"},
		tool("write_file", "file_path", "FILE", "content", "TEXT"), tool("run_shell_command", "command", "COMMAND", "description", "a step"),
	},
	{
		"pi", "@mariozechner/pi-coding-agent", "0.73.1", "anthropic", "",
		[]string{"pi", "--provider", "anthropic", "--model", "claude-sonnet-4-5", "-p"},
		tool("write", "path", "FILE", "content", "TEXT"), tool("bash", "command", "COMMAND"),
	},
	{
		"continue", "@continuedev/cli", "1.5.47", "anthropic", "",
		[]string{"cn", "--auto", "-p"},
		tool("Write", "filepath", "FILE", "content", "TEXT"), tool("Bash", "command", "COMMAND"),
	},
}

// They find the session's gateway by their profile alone, write, and run a command.
func TestOtherAgentsFinishATask(t *testing.T) {
	t.Parallel()
	for _, v := range others {
		t.Run(v.name, func(t *testing.T) {
			bin := npmAgent(t, v.pkg, v.version)
			t.Parallel()
			w := v.finishes(t, bin, v.name == "pi") // Continue keeps no signatures
			for _, x := range w.log("--type", "exec.decided") {
				if x.Decision.Basis == "headless" {
					t.Errorf("a person would be asked: %q %q", x.Action.Argv, x.Action.Env)
				}
			}
		})
	}
}
