package policy

import (
	"os"
	"strings"
	"testing"

	countersign "github.com/countersign/countersign"
)

func builtIn(t testing.TB) *Policy {
	t.Helper()
	p, err := Compile(BuiltIn())
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// peerEntries holds every credential entry of the lists that peers ship, and
// the places those miss, each with paths that its owner would see denied.
// "/proc/self/environ", "/etc", ".git" and the like are not credentials' places:
// the view and the session's own git govern them (docs/policy.md).
var peerEntries = map[string][]string{
	// AZMX SDK, DEFAULT_DENY_LIST
	"**/.env": {".env", "a/b/.env"}, "**/.env.*": {".env.local", "a/.env.production"}, "**/.envrc": {".envrc", "x/.envrc"},
	"**/.ssh/**": {".ssh/config", "home/u/.ssh/x/y", "~/.ssh/id_rsa"},
	"**/id_rsa":  {"id_rsa", "a/id_rsa"}, "**/id_dsa": {"id_dsa"}, "**/id_ecdsa": {"id_ecdsa"}, "**/id_ed25519": {"deploy/id_ed25519"},
	"**/*.pem": {"server.pem", "a/b/x.pem"}, "**/*.key": {"server.key", "tls/tls.key"}, "**/*.p12": {"x.p12"}, "**/*.pfx": {"a/x.pfx"},
	"**/credentials": {"credentials", "a/credentials"}, "**/credentials.json": {"credentials.json", "a/credentials.json"},
	"**/*credentials*.json": {"my-credentials-2.json", "a/credentials.prod.json"},
	"**/secrets":            {"secrets", "a/secrets"}, "**/secrets.json": {"secrets.json"}, "**/*secrets*.json": {"a/prod-secrets.json", "secrets.dev.json"},
	"**/*.private.json": {"x.private.json"}, "**/.aws/credentials": {".aws/credentials", "~/.aws/credentials"}, "**/.aws/config": {"x/.aws/config"},
	"**/.gcp/**": {".gcp/key.json", "a/.gcp/b/c"}, "**/.azure/**": {".azure/accessTokens.json", "~/.azure/x/y"}, "**/.kube/config": {".kube/config", "~/.kube/config"},
	"**/.docker/config.json": {".docker/config.json", "~/.docker/config.json"}, "**/.npmrc": {".npmrc", "web/.npmrc", "~/.npmrc"},
	"**/.pypirc": {".pypirc", "~/.pypirc"}, "**/.netrc": {".netrc", "~/.netrc"}, "**/Cookies": {"Cookies", "p/Default/Cookies"},
	"**/Cookies.sqlite": {"a/Cookies.sqlite", "a/cookies.sqlite"}, "**/Login Data": {"a/Login Data"}, "**/*.kdbx": {"pw.kdbx"}, "**/*.1password": {"x.1password"},
	"**/app.azmx.ai/secrets.json": {"x/app.azmx.ai/secrets.json"},
	// its gaps
	".git-credentials": {".git-credentials", "~/.git-credentials"}, ".config/gh/hosts.yml": {"~/.config/gh/hosts.yml", "home/.config/gh/hosts.yml"},
	".gnupg/": {".gnupg/x", "~/.gnupg/private-keys-v1.d/k.key"}, "shell histories": {"~/.bash_history", ".zsh_history", "~/.local/share/fish/fish_history", ".python_history"},
	"gcloud token databases": {"~/.config/gcloud/access_tokens.db", "~/.config/gcloud/credentials.db"}, ".vault-token": {".vault-token", "~/.vault-token"},
	"*.tfvars": {"prod.tfvars", "a/terraform.tfvars"}, ".terraform.d": {".terraform.d/credentials.tfrc.json", "~/.terraform.d/x"}, ".pgpass": {".pgpass", "~/.pgpass"},
	// Terax: names
	".env*": {".env-prod", ".envfile", ".env_local"}, "*.asc": {"private.asc"}, "*.gpg": {"a/secret.gpg"}, "*.keystore": {"release.keystore"}, "*.jks": {"x.jks"},
	"id_*": {"id_work", "keys/id_github"}, "known_hosts": {"known_hosts", "a/known_hosts"}, "authorized_keys": {"authorized_keys"}, "htpasswd": {"htpasswd", ".htpasswd"},
	"_netrc": {"_netrc"}, "secrets.yaml": {"secrets.yaml"}, "secrets.toml": {"a/secrets.toml"}, "secrets.env": {"secrets.env"},
	"service-account*.json": {"service-account.json", "a/service-account-prod.json"},
	// Terax: directories
	".aws": {"~/.aws/sso/cache/x.json", ".aws/x"}, ".kube": {"~/.kube/cache/x", ".kube/x"}, ".docker": {"~/.docker/x", ".docker/contexts/meta/x"},
	".config/gh": {"~/.config/gh/config.yml"}, ".config/git": {"~/.config/git/credentials", "~/.config/git/config"}, ".config/gcloud": {"~/.config/gcloud/x"}, ".config/op": {"~/.config/op/config", "x/.config/op/y"},
	"keychains":       {"~/Library/Keychains/login.keychain-db", "~/.local/share/keyrings/login.keyring"},
	"browser cookies": {"~/.mozilla/firefox/x.default/cookies.sqlite", "~/.config/google-chrome/Default/Cookies", "~/.config/chromium/Profile 1/Login Data", "~/Library/Cookies/Cookies.binarycookies"},
}

func TestEveryPeersEntryIsDenied(t *testing.T) {
	p := builtIn(t)
	for entry, paths := range peerEntries {
		for _, path := range paths {
			r, denied := p.Path(path)
			if !denied {
				t.Errorf("%s: %s is open", entry, path)
			} else if r.ID == "" || r.Reason == "" || r.Layer != LayerBuiltIn {
				t.Errorf("%s: denied by a rule without id or reason: %+v", path, r)
			}
		}
	}
}

// A name that a file system, an editor or a person could take for a denied one
// is denied.
func TestVariantsOfDeniedNames(t *testing.T) {
	p := builtIn(t)
	for _, path := range []string{
		".ENV", ".Env.Local", "ID_RSA", "Server.PEM", ".SSH/config", "~/.AWS/credentials",
		".e\u200bnv", "\u200d.env", ".env\ufeff", ".en\u00adv", ".env\ufe0f", // invisible characters
		"．env", ".ｅｎｖ", "ⓢecrets.json", ".ſsh/config", ".en\u2068v", // compatibility forms
		"se\u212Aret/../.env", "./.env", "a//.env", "a/./b/../.env", "/.env", "/somewhere/else/.env",
		".env/", ".env/x/y", ".ssh", "~/.ssh/", "~/.ssh", ".env ", ".env.", "x/.NETRC",
	} {
		if _, denied := p.Path(path); !denied {
			t.Errorf("%q is open", path)
		}
	}
}

// What an ordinary repository holds stays open: a list that breaks the work is
// switched off.
func TestOrdinaryRepositoriesStayOpen(t *testing.T) {
	p := builtIn(t)
	open := strings.Fields(`
		.env.example .env.local.example api/.env.sample .env.template .envrc.example docker/example.env
		main.go go.mod go.sum package.json package-lock.json tsconfig.json Makefile Dockerfile README.md .gitignore .git/config .git/HEAD .git
		src/env.ts src/env.d.ts vite-env.d.ts environment.yml env/ src/env/index.js config/environment.rb
		src/key.js src/keys.go internal/keys/ lib/key.rb i18n/keys.json node_modules/keyv/src/index.js
		internal/secrets/ internal/secrets/store.go pkg/secrets/secrets.go secrets.go src/secrets.ts modules/secrets/main.tf k8s/secrets/kustomization.yaml
		credentials/ credentials/static.go aws/credentials/credentials.go src/credentials.ts test_credentials.py credentials_test.go
		node_modules/cookies/ node_modules/cookies/index.js src/cookies/ src/cookies.js cookies.py
		node_modules/@aws-sdk/credential-providers/package.json node_modules/x/credentials.json node_modules/foo/secrets/index.json
		node_modules/public-encrypt/test/test_key.pem .venv/lib/python3.12/site-packages/certifi/cacert.pem venv/lib/python3/site-packages/pip/_vendor/certifi/cacert.pem
		vendor/github.com/x/y/testdata/key.pem net/http/testdata/cert.pem test/fixtures/key.pem tests/fixtures/server.key src/test/resources/keystore.jks android/app/debug.keystore
		id_rsa.pub keys/id_ed25519.pub src/id_generator.py id_map.go id_service/ pkg/id_utils/ crypto/id_ed25519.go app/models/id_token.rb
		dist/app-1.0.tar.gz.asc SHA256SUMS.asc README.asc book/01/intro.asc
		.aws/task-definition.json .azure/pipelines/build.yml .kube/deployment.yml .docker/nginx/default.conf .docker/Dockerfile
		chart/templates/secret.yaml chart/templates/secrets/db.yaml locales/en/credentials.json app-secrets.schema.json
		main.tf variables.tf example.tfvars .terraform.lock.hcl
		.github/workflows/ci.yml .vscode/settings.json .claude/settings.json .yarnrc.yml .cargo/config.toml .bundle/config
		history.go CHANGELOG.md src/history/ .editorconfig .prettierrc .eslintrc.json .nvmrc
		~/go/pkg/mod/x ~/.gitconfig ~/.cargo/registry/x ~/.cache/pip/x ~/.config/git/ /usr/lib/ssl/cert /usr/include/openssl/pem.h /etc/ssl/certs/ca-certificates.crt
	`)
	for _, path := range open {
		if path == "~/.config/git/" {
			continue // Git's credential store: denied, without a tripwire of its own
		}
		if r, denied := p.Path(path); denied {
			t.Errorf("%s is denied by %s", path, r.ID)
		}
	}
}

func TestHomeTripwires(t *testing.T) {
	p := builtIn(t)
	list := p.HomeTripwires()
	have := map[string]bool{}
	for i, s := range list {
		have[s] = true
		if !strings.HasPrefix(s, "~/") || strings.ContainsAny(s, "*?[") {
			t.Errorf("%q is no place", s)
		}
		if i > 0 && list[i-1] >= s {
			t.Errorf("%q is not in order", s)
		}
		if _, denied := p.Path(s); !denied {
			t.Errorf("%q is open", s)
		}
	}
	for _, want := range []string{
		"~/.ssh/", "~/.aws/", "~/.config/gh/", "~/.gnupg/", "~/.mozilla/", "~/.bash_history", "~/.git-credentials", "~/.netrc",
		"~/.vault-token", "~/.pgpass", "~/.config/gcloud/", "~/.local/share/keyrings/", "~/.kube/", "~/.docker/", "~/.azure/", "~/.password-store/", "~/.terraform.d/",
	} {
		if !have[want] {
			t.Errorf("%s is not among them", want)
		}
	}
	// What ordinary tools read at every start must stay a silent "no such file".
	for _, routine := range []string{"~/.npmrc", "~/.yarnrc", "~/.gitconfig", "~/.config/git/", "~/.profile", "~/.cache/", "~/.config/"} {
		if have[routine] {
			t.Errorf("a tripwire at %s breaks ordinary tools", routine)
		}
	}
}

func TestRisk(t *testing.T) {
	p := builtIn(t)
	high := strings.Fields(`node_modules/x/.git/config vendor/a/HEAD .git/config sub/.git/hooks/pre-commit sub/.git fixture.git/config x/HEAD x/refs/heads/main x/objects/pack/a.pack x/config .gitmodules
		sub/.gitattributes .gitconfig .github/workflows/ci.yml sub/.github/workflows/x.yaml .gitlab-ci.yml Jenkinsfile .circleci/config.yml azure-pipelines.yml
		.vscode/tasks.json .idea/workspace.xml .claude/settings.json .CLAUDE/settings.json .cursor/mcp.json .codex/config.toml .gemini/settings.json AGENTS.md agents.md docs/CLAUDE.md
		.mcp.json .husky/pre-commit .pre-commit-config.yaml .envrc .npmrc .env .countersign/policy.yaml ../outside ~/.bashrc .bashrc .yarnrc.yml .cargo/config.toml`)
	for _, path := range high {
		if risk, why := p.Risk(path); risk != countersign.RiskHigh || why == "" {
			t.Errorf("%s: risk %s, why %q", path, risk, why)
		}
	}
	for _, path := range strings.Fields("node_modules/x/.vscode/settings.json node_modules/x/.npmrc vendor/symfony/x/.github/workflows/ci.yml vendor/github.com/a/b/.gitattributes .venv/lib/python3/site-packages/x/AGENTS.md main.go src/head.go Makefile package.json config/ config/app.rb src/config.js .gitignore docs/agents.go hooks/useThing.ts refs.md objects/a.go .github/ISSUE_TEMPLATE/bug.md") {
		if risk, why := p.Risk(path); risk != countersign.RiskNormal {
			t.Errorf("%s: risk %s (%s)", path, risk, why)
		}
	}
}

// The documentation lists every built-in rule, exception and mechanism.
func TestTheDocumentationNamesEveryRule(t *testing.T) {
	doc, err := os.ReadFile("../docs/policy.md")
	if err != nil {
		t.Fatal(err)
	}
	d := BuiltIn()
	ids := append([]string{}, mechanisms...)
	for _, r := range append(append([]FileRule{}, d.Files.Deny...), d.Files.HighRisk...) {
		ids = append(ids, r.ID)
	}
	for _, x := range d.Files.Except {
		ids = append(ids, x.ID)
	}
	for _, id := range append(ids, presetNames...) {
		if !strings.Contains(string(doc), "`"+id+"`") {
			t.Errorf("docs/policy.md says nothing of %s", id)
		}
	}
}
