package e2e

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// registry is a host of packages for every package manager: one package each, that
// says hello.
type registry struct {
	mux  *http.ServeMux
	page map[string][]byte
}

func newRegistry(t *testing.T) *registry {
	r := &registry{mux: http.NewServeMux(), page: map[string][]byte{}}
	r.mux.HandleFunc("/", func(w http.ResponseWriter, q *http.Request) {
		b, ok := r.page[q.URL.Path]
		if !ok {
			http.NotFound(w, q)
			return
		}
		if strings.HasPrefix(q.URL.Path, "/simple/") && strings.HasSuffix(q.URL.Path, "/") {
			w.Header().Set("Content-Type", "text/html")
		}
		_, _ = w.Write(b)
	})
	r.npm()
	r.pip()
	r.goModule()
	r.crate()
	r.git(t)
	return r
}

func zipped(files ...[2]string) []byte {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, f := range files {
		w, _ := z.Create(f[0])
		_, _ = w.Write([]byte(f[1]))
	}
	_ = z.Close()
	return b.Bytes()
}

func tarred(files ...[2]string) []byte {
	var b bytes.Buffer
	g := gzip.NewWriter(&b)
	w := tar.NewWriter(g)
	for _, f := range files {
		_ = w.WriteHeader(&tar.Header{Name: f[0], Mode: 0o644, Size: int64(len(f[1]))})
		_, _ = w.Write([]byte(f[1]))
	}
	_ = w.Close()
	_ = g.Close()
	return b.Bytes()
}

func (r *registry) npm() {
	tgz := tarred([2]string{"package/package.json", `{"name":"tiny","version":"1.0.0","main":"index.js"}`}, [2]string{"package/index.js", "module.exports = 'npm hello'\n"})
	sum := sha512.Sum512(tgz)
	r.page["/tiny/-/tiny-1.0.0.tgz"] = tgz
	r.page["/tiny"] = fmt.Appendf(nil, `{"name":"tiny","dist-tags":{"latest":"1.0.0"},"versions":{"1.0.0":{"name":"tiny","version":"1.0.0","main":"index.js","dist":{"tarball":"https://pkg.example/tiny/-/tiny-1.0.0.tgz","integrity":"sha512-%s"}}}}`, base64.StdEncoding.EncodeToString(sum[:]))
}

func (r *registry) pip() {
	const wheel = "tiny-1.0-py3-none-any.whl"
	r.page["/"+wheel] = zipped(
		[2]string{"tiny.py", "print('pip hello')\n"}, [2]string{"tiny-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n"},
		[2]string{"tiny-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"}, [2]string{"tiny-1.0.dist-info/RECORD", ""},
	)
	r.page["/simple/tiny/"] = fmt.Appendf(nil, `<html><body><a href="/%s">%s</a></body></html>`, wheel, wheel)
}

func (r *registry) goModule() {
	const mod = "module pkg.example/tiny\n\ngo 1.21\n"
	base := "/goproxy/pkg.example/tiny/@v/"
	r.page[base+"list"] = []byte("v1.0.0\n")
	r.page[base+"v1.0.0.info"] = []byte(`{"Version":"v1.0.0"}`)
	r.page[base+"v1.0.0.mod"] = []byte(mod)
	r.page[base+"v1.0.0.zip"] = zipped([2]string{"pkg.example/tiny@v1.0.0/go.mod", mod}, [2]string{"pkg.example/tiny@v1.0.0/tiny.go", "package tiny\n\nconst Hello = \"go hello\"\n"})
}

func (r *registry) crate() {
	crate := tarred([2]string{"tiny-1.0.0/Cargo.toml", "[package]\nname = \"tiny\"\nversion = \"1.0.0\"\nedition = \"2021\"\n"}, [2]string{"tiny-1.0.0/src/lib.rs", "pub const HELLO: &str = \"cargo hello\";\n"})
	sum := sha256.Sum256(crate)
	r.page["/index/config.json"] = []byte(`{"dl":"https://pkg.example/crates"}`)
	r.page["/index/ti/ny/tiny"] = fmt.Appendf(nil, `{"name":"tiny","vers":"1.0.0","deps":[],"cksum":"%s","features":{},"yanked":false}`+"\n", hex.EncodeToString(sum[:]))
	r.page["/crates/tiny/1.0.0/download"] = crate
}

// git serves a bare repository as plain files.
func (r *registry) git(t *testing.T) {
	t.Helper()
	dir := t.TempDir()
	for _, args := range [][]string{
		{"init", "-q", "-b", "main", dir + "/w"},
		{"-C", dir + "/w", "-c", "user.name=t", "-c", "user.email=t@example.com", "commit", "-q", "--allow-empty", "-m", "git hello"},
		{"clone", "-q", "--bare", dir + "/w", dir + "/tiny.git"},
		{"-C", dir + "/tiny.git", "update-server-info"},
	} {
		if out, err := exec.Command("git", args...).CombinedOutput(); err != nil {
			t.Fatalf("git %q: %v %s", args, err, out)
		}
	}
	r.mux.Handle("/tiny.git/", http.FileServer(http.Dir(dir)))
}

// The package managers get their packages through the door, when its host is
// allowed, with nothing said to them but the environment; without the rule, none
// gets any.
func TestPackageManagersGoThrough(t *testing.T) {
	if !alone(t, map[string]string{"pkg.example": outsideAddr}) {
		return
	}
	w := newWorld(t, users()[0])
	w.write("ca.pem", theWeb(t, newRegistry(t).mux, "pkg.example"))
	w.write("go/go.mod", "module x\n\ngo 1.21\n\nrequire pkg.example/tiny v1.0.0\n")
	w.write("rust/Cargo.toml", "[package]\nname = \"x\"\nversion = \"0.1.0\"\nedition = \"2021\"\n\n[dependencies]\ntiny = \"1\"\n")
	w.write("rust/src/main.rs", "fn main() { println!(\"{}\", tiny::HELLO) }\n")
	w.write("rust/.cargo/config.toml", "[source.crates-io]\nreplace-with = \"own\"\n[source.own]\nregistry = \"sparse+https://pkg.example/index/\"\n[http]\ncainfo = \"/ca\"\n")
	w.write("rust/.cargo/config.toml", strings.Replace(w.read("rust/.cargo/config.toml"), "/ca", filepath.Join(w.project, "ca.pem"), 1))
	w.write(".gitignore", "node_modules/\n/py/\n/clone/\ntarget/\n")
	w.repo()
	// Rustup's stand-in for cargo wants its own home; the toolchain needs none.
	home, _ := os.UserHomeDir()
	if bins, _ := filepath.Glob(home + "/.rustup/toolchains/stable-*/bin"); len(bins) > 0 {
		w.env = append(w.env, "PATH="+bins[0]+":"+os.Getenv("PATH"))
	}
	tools := []struct{ name, script, want string }{
		{"git", `git -c http.sslCAInfo="$PWD/ca.pem" clone -q https://pkg.example/tiny.git clone && git -C clone log --format=%s; git -c http.proxy= ls-remote http://pkg.example/tiny.git`, "git hello"},
		{"npm", `mkdir -p n; cd n; echo '{}' > package.json; npm install --fetch-retries=0 --cafile ../ca.pem --no-audit --no-fund --fetch-retries=0 --registry https://pkg.example/ tiny; node -p 'require("tiny")'`, "npm hello"},
		{"pip", `PIP_CERT="$PWD/ca.pem" pip install -q --disable-pip-version-check --retries 0 --target py --index-url https://pkg.example/simple/ tiny; PYTHONPATH=py python3 -c 'import tiny'`, "pip hello"},
		{"go", `cd go; export SSL_CERT_FILE="$PWD/../ca.pem" GOPROXY=https://pkg.example/goproxy GONOSUMDB='*' GONOSUMCHECK=1 GOFLAGS=-mod=mod GOTOOLCHAIN=local; go mod download 2>&1; cat "$(go list -m -f "{{.Dir}}" pkg.example/tiny)"/tiny.go`, "go hello"},
		{"cargo", `cd rust; cargo fetch -q; ls "${CARGO_HOME:-$HOME/.cargo}"/registry/src/*/tiny-1.0.0/src/lib.rs && echo "cargo hello"`, "cargo hello"},
	}
	script := ""
	for _, tool := range tools {
		script += fmt.Sprintf("echo '== %[1]s'\n{ %[1]s --version || %[1]s version; } >/dev/null 2>&1 || echo absent\n(%[2]s)\n", tool.name, tool.script)
	}
	sections := func(r result) map[string]string {
		out := map[string]string{}
		for _, part := range strings.Split(r.out, "== ")[1:] {
			name, text, _ := strings.Cut(part, "\n")
			out[name] = text
		}
		return out
	}
	closed := w.script(allowBash, script)
	w.must("sessions", "discard", w.log("--type", "session.started")[0].Session)
	open := w.script(allowBash+"network: [{id: t-pkg, verdict: allow, host: pkg.example, port: 443, reason: r}]\n", script)
	before, after := sections(closed), sections(open)
	for _, tool := range tools {
		switch {
		case strings.HasPrefix(after[tool.name], "absent\n"):
			t.Logf("%s is not on this machine", tool.name)
		case strings.Contains(before[tool.name], tool.want):
			t.Errorf("%s without a rule: %s", tool.name, before[tool.name])
		case !strings.Contains(after[tool.name], tool.want):
			t.Errorf("%s: %s\n%s", tool.name, after[tool.name], open.err)
		}
	}
	decided := w.log("--type", "net.decided")
	if len(decided) < 5 || slices.ContainsFunc(decided, func(r rec) bool { return r.Action.Host != "pkg.example" || r.Actor.Peer.Exe == "" }) {
		t.Errorf("%+v", decided)
	}
}
