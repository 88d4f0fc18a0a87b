package e2e

import (
	"path/filepath"
	"slices"
	"testing"
)

// vendorEnv are the variables that the agents below add for the commands they
// run, or take from them.
const vendorEnv = `[AGENT, OPENCODE, OPENCODE_PID, npm_config_user_agent, GEMINI_CLI, GEMINI_CLI_TRUST_WORKSPACE, PAGER, GIT_PAGER,
  GIT_CONFIG_GLOBAL, GIT_CONFIG_SYSTEM, GIT_CONFIG_NOSYSTEM, GIT_CONFIG_COUNT, GIT_CONFIG_KEY_0, GIT_CONFIG_KEY_1, GIT_CONFIG_KEY_2,
  GIT_CONFIG_KEY_3, GIT_CONFIG_KEY_4, GIT_CONFIG_KEY_5, GIT_CONFIG_KEY_6, GIT_CONFIG_KEY_7, GIT_CONFIG_VALUE_0, GIT_CONFIG_VALUE_1,
  GIT_CONFIG_VALUE_2, GIT_CONFIG_VALUE_3, GIT_CONFIG_VALUE_4, GIT_CONFIG_VALUE_5, GIT_CONFIG_VALUE_6, GIT_CONFIG_VALUE_7,
  GIT_TERMINAL_PROMPT, GIT_OPTIONAL_LOCKS, GIT_ASKPASS, SSH_ASKPASS, GH_PROMPT_DISABLED, GCM_INTERACTIVE, DISPLAY,
  DBUS_SESSION_BUS_ADDRESS, NODE_ENV, PATH, COPILOT_AGENT_SESSION_ID, COPILOT_CLI, COPILOT_CLI_BINARY_VERSION,
  COPILOT_CLI_RESOLVED_DIST_DIR, COPILOT_DISABLE_LOGIN_SHELL_ENV, COPILOT_PROVIDER_TYPE, COPILOT_PROVIDER_BASE_URL,
  COPILOT_PROVIDER_API_KEY, COPILOT_OFFLINE, ANTHROPIC_API_KEY, OPENAI_API_KEY, OPENAI_BASE_URL, CLINE_CONNECTOR_CLI_LAUNCH, OR_SITE_URL,
  OR_APP_NAME, LITELLM_MODE, TIKTOKEN_CACHE_DIR, LANGUAGE, LC_ALL, PI_CODING_AGENT, QWEN_CODE, TERM,
  QWEN_CODE_PRIVATE_RELAUNCH_ENV_PROVENANCE, QWEN_CODE_SESSION_ID, QWEN_CODE_PROJECT_DIR, QWEN_CODE_MODEL, QWEN_CODE_MODEL_IDENTITY,
  QWEN_CODE_AGENT_ID, QWEN_CODE_PROMPT_ID]`

const vendorPolicy = `version: 1
commands:
  - {id: t-bash, verdict: allow, argv: ["bash", "..."], reason: a test of the agent, env: ` + vendorEnv + `}
  - {id: t-sh, verdict: allow, argv: ["sh", "..."], reason: a test of the agent, env: ` + vendorEnv + `}
`

// vendor is an agent that npm has, with the wire it speaks, how it is started
// with one task and no terminal, and how its tools are called.
type vendor struct {
	name, pkg, version string
	wire, path         string
	argv               []string
	writes             func(step) (string, map[string]any)
	runs               func(step) (string, map[string]any)
}

// tool makes a tool's call: fields in pairs of a name and what it holds, where
// FILE, TEXT, COMMAND and COMMANDS (a list of one) stand for a step's.
func tool(name string, fields ...string) func(step) (string, map[string]any) {
	return func(s step) (string, map[string]any) {
		input := map[string]any{}
		for i := 0; i < len(fields); i += 2 {
			switch fields[i+1] {
			case "FILE":
				input[fields[i]] = s.write
			case "TEXT":
				input[fields[i]] = s.content
			case "COMMAND":
				input[fields[i]] = s.run
			case "COMMANDS":
				input[fields[i]] = []string{s.run}
			default:
				input[fields[i]] = fields[i+1]
			}
		}
		return name, input
	}
}

const vendorTask = "write hello.txt and run the tests"

var vendors = []vendor{
	{
		"gemini", "@google/gemini-cli", "0.61.0", "gemini", "",
		[]string{"gemini", "-m", "gemini-2.5-pro", "--skip-trust", "--approval-mode", "yolo", "-p"},
		tool("write_file", "file_path", "FILE", "content", "TEXT"), tool("run_shell_command", "command", "COMMAND", "description", "a step"),
	},
	{
		"opencode", "opencode-ai", "1.18.33", "openai", "/v1",
		[]string{"opencode", "run", "-m", "openai/gpt-5.5"},
		tool("apply_patch", "patchText", "*** Begin Patch\n*** Add File: hello.txt\n+hi\n*** End Patch"), tool("bash", "command", "COMMAND", "description", "a step"),
	},
	{
		"opencode, Messages", "opencode-ai", "1.18.33", "anthropic", "",
		[]string{"opencode", "run", "-m", "anthropic/claude-sonnet-4-5"},
		tool("write", "filePath", "FILE", "content", "TEXT"), tool("bash", "command", "COMMAND", "description", "a step"),
	},
	{
		"copilot", "@github/copilot", "1.0.102", "openai", "/v1",
		[]string{"copilot", "--model", "qwen-x", "--allow-all-tools", "--allow-all-paths", "-p"},
		tool("create", "path", "FILE", "file_text", "TEXT"), tool("bash", "command", "COMMAND", "description", "a step"),
	},
	{
		"cline", "cline", "3.0.65", "openai", "/v1",
		[]string{"cline", "--model", "qwen-x"},
		tool("editor", "path", "FILE", "new_text", "TEXT"), tool("run_commands", "commands", "COMMANDS"),
	},
}

// Each agent, as its vendor ships it, does a two-step task through the session's
// gateway, on its own wire, without a word of configuration.
func TestVendorsAgentsFinishATask(t *testing.T) {
	t.Parallel()
	for _, v := range vendors {
		t.Run(v.name, func(t *testing.T) {
			bin := npmAgent(t, v.pkg, v.version)
			t.Parallel()
			v.finishes(t, bin, v.path == "" || v.name == "opencode") // chat signs nothing
		})
	}
}

// finishes has the agent do the two-step task with nobody to ask, and looks at what
// that left; signed says that what the model signed must come back.
func (v vendor) finishes(t *testing.T, bin string, signed bool) *world {
	t.Helper()
	w, m := realAgent(t, v.wire, v.path, users()[len(users())-1], twoSteps...)
	w.withPath(bin)
	m.steps[0].write, m.signs = filepath.Join(w.project, "hello.txt"), signed
	m.say = v.says
	argv := slices.Concat([]string{"run", "--policy", w.policy(vendorPolicy), "--approver", "none", "--"}, v.argv, []string{vendorTask})
	checkAgent(t, w, m, w.cs(argv...))
	return w
}

// says is a step as a call of one of the agent's tools.
func (v vendor) says(s step) (string, map[string]any) {
	if s.write != "" {
		return v.writes(s)
	}
	return v.runs(s)
}
