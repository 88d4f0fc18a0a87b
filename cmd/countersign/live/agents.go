package live

import (
	"fmt"
	"path"
	"path/filepath"
	"strings"

	"github.com/countersign/countersign/workspace/tree"
)

// agentSettings point an agent at the session's gateway. They are the two that
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
		"COUNTERSIGN_SESSION_TOKEN=" + token,
	}}
	switch name {
	case "claude":
		s.env = append(s.env, "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC=1", "DISABLE_AUTOUPDATER=1",
			"CLAUDE_CODE_DISABLE_OFFICIAL_MARKETPLACE_AUTOINSTALL=1")
		s.seed = map[string]string{".claude.json": claudeSeed(token)}
	case "codex":
		s.seed = map[string]string{".codex/config.toml": fmt.Sprintf(codexSeed, url)}
	}
	return s
}

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

// Native finds the program behind an npm shim that does nothing but start it.
// The shim's child would be a command like any other, and an approval of it
// would cover everything the agent does; started itself, it is the agent.
func Native(name, path string) string {
	if name != "codex" {
		return path
	}
	real, err := filepath.EvalSymlinks(path)
	if err != nil || filepath.Base(real) != "codex.js" {
		return path
	}
	pkg := filepath.Dir(filepath.Dir(real)) // …/node_modules/@openai/codex
	for _, vendor := range []string{filepath.Join(filepath.Dir(pkg), "codex-*"), filepath.Join(pkg, "node_modules", "@openai", "codex-*"), pkg} {
		for _, place := range []string{"vendor/*/bin/codex", "vendor/*/codex/codex"} {
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
