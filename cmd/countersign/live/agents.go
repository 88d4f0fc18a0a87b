package live

import (
	"fmt"
	"path"
	"path/filepath"
	"strings"

	"github.com/countersign/countersign/workspace/tree"
)

// agentSettings point an agent at the session's gateway. They are those that
// this version is tried with; every other program finds the same variables.
type agentSettings struct {
	env []string
	// seed are files of the private home that are written when they are absent.
	seed map[string]string
}

// AgentName is what the record calls the agent: the base name of its command.
func AgentName(argv []string) string {
	name := filepath.Base(argv[0])
	for _, suffix := range []string{".js", ".py", ".sh"} {
		name = strings.TrimSuffix(name, suffix)
	}
	return name
}

// settingsFor returns where the gateway is, in the words of each vendor's SDK,
// with a token that is good at this session's gateway only.
func settingsFor(name, url, token string) agentSettings {
	s := agentSettings{env: []string{
		"ANTHROPIC_BASE_URL=" + url, "ANTHROPIC_API_KEY=" + token,
		"OPENAI_BASE_URL=" + url + "/v1", "OPENAI_API_KEY=" + token,
		"GOOGLE_GEMINI_BASE_URL=" + url, "GEMINI_API_KEY=" + token,
		"COUNTERSIGN_SESSION_TOKEN=" + token,
	}}
	switch name {
	case "claude":
		s.env = append(s.env, "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC=1", "DISABLE_AUTOUPDATER=1",
			"CLAUDE_CODE_DISABLE_OFFICIAL_MARKETPLACE_AUTOINSTALL=1")
		s.seed = map[string]string{".claude.json": claudeSeed(token)}
	case "codex":
		s.seed = map[string]string{".codex/config.toml": fmt.Sprintf(codexSeed, url)}
	case "gemini":
		// It would start itself again with more memory: a command like any other.
		s.env = append(s.env, "GEMINI_CLI_NO_RELAUNCH=true")
		s.seed = map[string]string{".gemini/settings.json": geminiSeed}
	case "opencode":
		s.env = append(s.env, "OPENCODE_CONFIG_CONTENT="+fmt.Sprintf(opencodeConfig, url+"/v1", token),
			"OPENCODE_DISABLE_AUTOUPDATE=1", "OPENCODE_DISABLE_MODELS_FETCH=1", "OPENCODE_DISABLE_LSP_DOWNLOAD=1")
	case "copilot":
		s.env = append(s.env, "COPILOT_PROVIDER_BASE_URL="+url+"/v1", "COPILOT_PROVIDER_TYPE=openai", "COPILOT_PROVIDER_API_KEY="+token,
			"COPILOT_OFFLINE=true", "COPILOT_AUTO_UPDATE=false")
	case "cline":
		// It would start itself again as a server in the background, and is at a
		// loss where that is refused.
		s.env = append(s.env, "CLINE_SESSION_BACKEND_MODE=local")
		s.seed = map[string]string{".cline/data/settings/providers.json": fmt.Sprintf(clineSeed, token, url+"/v1")}
	}
	return s
}

// Gemini CLI asks how to log in where its settings do not say.
const geminiSeed = `{"security":{"auth":{"selectedType":"gemini-api-key"}},"general":{"enableAutoUpdate":false},"privacy":{"usageStatisticsEnabled":false}}
`

// opencode does not follow the variables of the vendors' SDKs.
const opencodeConfig = `{"autoupdate":false,"share":"disabled","provider":{"anthropic":{"options":{"baseURL":"%[1]s","apiKey":"%[2]s"}},"openai":{"options":{"baseURL":"%[1]s","apiKey":"%[2]s"}}}}`

// Cline keeps its provider in a file; the model is said with --model.
const clineSeed = `{"version":1,"lastUsedProvider":"openai-compatible","modes":{},"providers":{"openai-compatible":{"settings":{"provider":"openai-compatible","apiKey":%q,"baseUrl":%q},"updatedAt":"2026-01-01T00:00:00.000Z","tokenSource":"manual"}}}
`

// claudeSeed answers the questions of a first start; the key is the session's.
func claudeSeed(token string) string {
	tail := token
	if len(tail) > 20 {
		tail = tail[len(tail)-20:]
	}
	return fmt.Sprintf(`{"hasCompletedOnboarding":true,"theme":"dark","customApiKeyResponses":{"approved":[%q],"rejected":[]}}`+"\n", tail)
}

// Codex does not follow OPENAI_BASE_URL, and its own sandbox cannot nest. Its web
// search runs at the provider, which the gateway refuses unless a rule allows it.
const codexSeed = `model_provider = "countersign"
sandbox_mode = "danger-full-access"
approval_policy = "never"
check_for_update_on_startup = false
web_search = "disabled"

[features]
plugins = false
daemon_auto_start = false
shell_snapshot = false

[analytics]
enabled = false

[model_providers.countersign]
name = "Countersign gateway"
base_url = "%s/v1"
env_key = "COUNTERSIGN_SESSION_TOKEN"
wire_api = "responses"
`

// shims are npm programs that do nothing but start a program of their own: the
// shim's name below its package, the package, and where that program may lie
// below a platform's package, or below the package itself.
var shims = map[string]struct{ file, pkg, platform string }{
	"codex":   {"codex.js", "@openai/codex", "codex-*"},
	"copilot": {"npm-loader.js", "@github/copilot", "copilot-*"},
}

// Native finds the program behind an npm shim that does nothing but start it.
// The shim's child would be a command like any other, and an approval of it
// would cover everything the agent does; started itself, it is the agent.
func Native(name, path string) string {
	shim, known := shims[name]
	real, err := filepath.EvalSymlinks(path)
	if !known || err != nil || filepath.Base(real) != shim.file {
		return path
	}
	pkg := filepath.Dir(real)
	if filepath.Base(pkg) == "bin" {
		pkg = filepath.Dir(pkg) // …/node_modules/@openai/codex
	}
	for _, vendor := range []string{filepath.Join(filepath.Dir(pkg), shim.platform), filepath.Join(pkg, "node_modules", filepath.Dir(shim.pkg), shim.platform), pkg} {
		for _, place := range []string{"vendor/*/bin/" + name, "vendor/*/" + name + "/" + name, name} {
			if found, _ := filepath.Glob(filepath.Join(vendor, place)); len(found) == 1 {
				return found[0]
			}
		}
	}
	return path
}

// plant writes the seeds into the private home. The agent owns that directory:
// no link it left there is followed. A settings file that names the gateway is
// written anew each time, its token changes with the session.
func (s agentSettings) plant(home string) error {
	root, err := tree.OpenRoot(home)
	if err != nil {
		return err
	}
	defer root.Close()
	for name, content := range s.seed {
		if dir := path.Dir(name); dir != "." {
			if _, err := root.MkdirAll(dir); err != nil {
				return fmt.Errorf("seed %s: %w", name, err)
			}
		}
		if err := root.WriteAtomic(name, strings.NewReader(content), 0o600); err != nil {
			return fmt.Errorf("seed %s: %w", name, err)
		}
	}
	return nil
}
