package seatbelt

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func plain() Session {
	return Session{
		ID: "7k2mx9", Project: "/Users/ann/.local/state/countersign/sessions/7k2mx9/tree", Real: "/Users/ann/src/shop",
		Home: "/Users/ann/.local/state/countersign/sessions/7k2mx9/home", Person: "/Users/ann", Temp: "/private/var/folders/x1/T/7k2mx9",
		Read: []string{"/Users/ann/.cargo/bin"}, Own: []string{"/Users/ann/.local/state/countersign", "/Users/ann/.config/countersign"},
		Programs: []string{"/opt/homebrew/bin/node"}, Shims: "/usr/local/libexec/countersign/shims", Terminal: "/dev/ttys004", Gateway: 4141, Door: 4142,
		Denied: []Denial{
			{
				Rule: "env-files", Match: []string{`/\.[eE][nN][vV][^/]*(/[^/]*)*$`}, Except: []string{`/\.[eE][nN][vV]\.example(/[^/]*)*$`},
				Under:  []string{`/(\.[eE][nN][vV][^/]*)/([^/]*/)*(\.[eE][nN][vV]\.example)(/[^/]*)*$`},
				Backup: []string{`/\.#\.[eE][nN][vV][^/]*$`}, BackupExcept: []string{`/\.[eE][nN][vV]\.example(/[^/]*)+$`},
			},
			{Rule: "secret-names", Files: true, Match: []string{`/[sS]ecrets$`}},
			{Rule: "aws", Match: []string{`/\.aws/[^/]*(/[^/]*)*$`}, Moves: []string{`/\.aws$`}},
		},
	}
}

func bare() Session {
	return Session{ID: "s", Project: "/p", Home: "/h", Person: "/Users/ann", Temp: "/t"}
}

func profile(t testing.TB, s Session) string {
	t.Helper()
	out, err := Profile(s)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestGolden(t *testing.T) {
	odd := plain()
	odd.Project, odd.Real = `/Users/Zoë "x")(allow default)\`, "/Users/ann/a;b (c)|[d]$^*"
	for name, s := range map[string]Session{"session": plain(), "bare": bare(), "odd": odd} {
		file := filepath.Join("testdata", name+".sb")
		got := profile(t, s)
		if os.Getenv("COUNTERSIGN_WRITE_DOCS") != "" {
			if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(string(want), got); d != "" {
			t.Errorf("%s (COUNTERSIGN_WRITE_DOCS=1 go test ./sandbox/seatbelt):\n%s", file, d)
		}
	}
}

// read is a reader of its own for the language: lists, words, strings and comments.
func read(s string) (forms []form, err error) {
	var open [][]form
	add := func(f form) {
		if n := len(open); n > 0 {
			open[n-1] = append(open[n-1], f)
			return
		}
		forms = append(forms, f)
	}
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == ' ' || c == '\n':
		case c == ';':
			for i < len(s) && s[i] != '\n' {
				i++
			}
		case c == '(':
			open = append(open, nil)
		case c == ')':
			n := len(open)
			if n == 0 {
				return nil, errors.New("a ) too many")
			}
			f := form{list: open[n-1]}
			open = open[:n-1]
			add(f)
		case c == '"':
			var b strings.Builder
			for i++; i < len(s) && s[i] != '"'; i++ {
				if s[i] == '\\' {
					i++
				}
				if i < len(s) {
					b.WriteByte(s[i])
				}
			}
			if i >= len(s) {
				return nil, errors.New("a string without end")
			}
			add(text(b.String()))
		default:
			from := i
			for i < len(s) && !strings.ContainsRune(" \n()\";", rune(s[i])) {
				i++
			}
			add(word(s[from:i]))
			i--
		}
	}
	if len(open) > 0 {
		return nil, errors.New("a ( too many")
	}
	return forms, nil
}

func forms(t testing.TB, profile string) []form {
	t.Helper()
	out, err := read(profile)
	if err != nil {
		t.Fatalf("%v:\n%s", err, profile)
	}
	return out
}

// shape is a form without what its strings say.
func (f form) shape(b *strings.Builder) {
	switch f.kind {
	case isWord:
		b.WriteString(f.word)
	case isText:
		b.WriteString(`""`)
	default:
		b.WriteByte('(')
		for _, x := range f.list {
			x.shape(b)
			b.WriteByte(' ')
		}
		b.WriteByte(')')
	}
}

func shapes(all []form) string {
	var b strings.Builder
	for _, f := range all {
		f.shape(&b)
		b.WriteByte('\n')
	}
	return b.String()
}

func (f form) texts(add func(string)) {
	if f.kind == isText {
		add(f.text)
	}
	for _, x := range f.list {
		x.texts(add)
	}
}

// Whatever a path or an expression holds, the profile has the same forms, and the
// path stands in it as it is.
func FuzzNothingEndsAString(f *testing.F) {
	for _, s := range []string{`"`, `\`, `\"`, `")(allow default)("`, "x\n(allow default)", ";", "#|", `#"x"`, "é\u0301", "\u202e", "a\x00b", `\x41`, `$(id)`} {
		f.Add(s)
	}
	usual := plain()
	usual.Project, usual.Programs = "/Users/ann/axz", []string{"/opt/Users/ann/axz"}
	want := shapes(forms(f, profile(f, usual)))
	f.Fuzz(func(t *testing.T, s string) {
		for _, at := range []string{"/Users/ann/a" + s + "z", "/private/tmp/" + s, "/" + s} {
			p := plain()
			p.Project, p.Programs = at, []string{"/opt" + at}
			p.Denied[0].Match[0], p.Denied[2].Match[0] = regexp.QuoteMeta(at)+"/never", "/"+s+"$"
			out, err := Profile(p)
			if err != nil {
				continue
			}
			all := forms(t, out)
			if got := shapes(all); strings.HasPrefix(at, "/Users/ann/a") && strings.Count(at, "/") == 3 && got != want {
				t.Fatalf("%q:\n%s", at, cmp.Diff(want, got))
			}
			found := false
			for _, f := range all {
				f.texts(func(s string) { found = found || s == at })
				if v := f.list[0].word; v != "version" && v != "deny" && v != "allow" {
					t.Fatalf("%q: %s", at, v)
				}
			}
			if !found {
				t.Fatalf("%q does not stand in\n%s", at, out)
			}
		}
	})
}

// world is what is asked of a profile.
type world struct {
	op, path string
	dir      bool
	inside   bool // the target is in the sandbox
	pty      bool
}

// decide is the last rule whose operations and filters fit, and its message. That a
// part of an operation is allowed by name is not undone by a deny of the whole.
func decide(t testing.TB, all []form, w world) (allowed bool, message string) {
	t.Helper()
	exact := false
	for _, f := range all {
		verdict := f.list[0].word
		if verdict == "version" {
			continue
		}
		names, fits, msg, filters, same := false, false, "", 0, false
		for _, x := range f.list[1:] {
			switch {
			case x.kind == isWord:
				names = names || x.word == "default" || x.word == w.op || strings.HasSuffix(x.word, "*") && strings.HasPrefix(w.op, strings.TrimSuffix(x.word, "*"))
				same = same || x.word == w.op
			case x.list[0].word == "with":
				msg = x.list[2].text
			default:
				filters++
				fits = fits || holds(t, x, w)
			}
		}
		if !names || filters > 0 && !fits {
			continue
		}
		if verdict == "deny" && exact && !same {
			continue
		}
		allowed, message, exact = verdict == "allow", msg, verdict == "allow" && same && !strings.HasSuffix(w.op, "*")
	}
	return allowed, message
}

var compiled = map[string]*regexp.Regexp{}

func holds(t testing.TB, f form, w world) bool {
	t.Helper()
	args := f.list[1:]
	switch what := f.list[0].word; what {
	case "literal", "global-name", "sysctl-name":
		return args[0].text == w.path
	case "sysctl-name-prefix":
		return strings.HasPrefix(w.path, args[0].text)
	case "subpath":
		return w.path == args[0].text || strings.HasPrefix(w.path, args[0].text+"/")
	case "regex":
		re := compiled[args[0].text]
		if re == nil {
			re = regexp.MustCompile(args[0].text)
			compiled[args[0].text] = re
		}
		return re.MatchString(w.path)
	case "require-all":
		return !slices.ContainsFunc(args, func(x form) bool { return !holds(t, x, w) })
	case "require-any":
		return slices.ContainsFunc(args, func(x form) bool { return holds(t, x, w) })
	case "require-not":
		return !holds(t, args[0], w)
	case "vnode-type":
		return w.dir
	case "target":
		return w.inside
	case "extension":
		return w.pty
	case "remote":
		return args[1].text == w.path
	default:
		t.Fatalf("the profile has a filter that is not known: %s", what)
		return false
	}
}

// What a profile lets through, and by which rule it refuses.
func TestWhatIsOpen(t *testing.T) {
	all := forms(t, profile(t, plain()))
	const tree, home, temp = "/Users/ann/.local/state/countersign/sessions/7k2mx9/tree", "/Users/ann/.local/state/countersign/sessions/7k2mx9/home", "/private/var/folders/x1/T/7k2mx9"
	for _, c := range []struct {
		ops, path, rule string // no rule: open
		world
	}{
		{ops: "file-read-data file-write-create file-write-unlink", path: tree + "/main.go"},
		{ops: "file-read-data file-write-data", path: home + "/.config/x"},
		{ops: "file-write-create", path: temp + "/x"},
		{ops: "file-write-unlink", path: tree, rule: "roots"},
		{ops: "file-read-data file-write-create file-write-unlink file-read-metadata", path: tree + "/a/.ENV.local", rule: "env-files"},
		{ops: "file-read-data", path: tree + "/.env.example"},
		{ops: "file-read-data", path: tree + "/.env/.env.example", rule: "env-files"},
		{ops: "file-read-data", path: tree + "/.#.env", rule: "env-files"},
		{ops: "file-read-data", path: tree + "/secrets", rule: "secret-names"},
		{ops: "file-read-data", path: tree + "/secrets", world: world{dir: true}},
		{ops: "file-read-data", path: tree + "/secrets/x.go"},
		{ops: "file-write-unlink", path: tree + "/.aws", rule: "aws", world: world{dir: true}},
		{ops: "file-read-data", path: tree + "/.aws", world: world{dir: true}},
		{ops: "file-read-data", path: "/Users/ann/.cargo/bin/cargo"},
		{ops: "file-write-data", path: "/Users/ann/.cargo/bin/cargo", rule: "default"},
		{ops: "file-read-data", path: "/Users/ann/.cargo/bin/.env", rule: "env-files"},
		{ops: "file-read-data file-write-create", path: "/Users/ann/notes.txt", rule: "person"},
		{ops: "file-read-data", path: "/System/Volumes/Data/users/ANN/notes.txt", rule: "person"},
		{ops: "file-read-metadata", path: "/Users/ann"},
		{ops: "file-read-data", path: "/Users/ann", rule: "person"},
		{ops: "file-read-data file-write-data", path: "/Users/ann/src/shop/main.go", rule: "real-tree"},
		{ops: "file-read-data file-write-data", path: "/Users/ann/.local/state/countersign/ledger/segments/1.led", rule: "countersign-own"},
		{ops: "file-read-data", path: "/Users/bob/x", rule: "default"},
		{ops: "file-read-data", path: "/Volumes/USB/x", rule: "default"},
		{ops: "file-read-data", path: "/System/Volumes/Data/Users/bob/x", rule: "default"},
		{ops: "file-read-data", path: "/usr/lib/ssl/.env"},
		{ops: "file-write-create", path: "/usr/local/bin/x", rule: "default"},
		{ops: "file-read-data", path: "/Library/Keychains/System.keychain", rule: "system-keys"},
		{ops: "process-exec process-exec-interpreter", path: "/opt/homebrew/bin/node"},
		{ops: "process-exec", path: "/usr/local/libexec/countersign/shims/git"},
		{ops: "process-exec", path: "/bin/sh", rule: "exec"},
		{ops: "process-exec", path: tree + "/a.out", rule: "exec"},
		{ops: "process-fork"},
		{ops: "signal process-info-pidinfo", rule: ""},
		{ops: "mach-lookup", path: "com.apple.system.opendirectoryd.libinfo"},
		{ops: "mach-lookup", path: "com.apple.SecurityServer", rule: "keychain"},
		{ops: "mach-lookup", path: "com.apple.pasteboard.1", rule: "desktop"},
		{ops: "mach-lookup", path: "com.apple.anything", rule: "default"},
		{ops: "lsopen", rule: "launch-services"},
		{ops: "appleevent-send", rule: "apple-events"},
		{ops: "network-outbound", path: "localhost:4141"},
		{ops: "network-outbound", path: "localhost:4142"},
		{ops: "network-outbound network-bind network-inbound", path: "localhost:4143", rule: "network"},
		{ops: "network-outbound", path: "192.0.2.1:443", rule: "network"},
		{ops: "sysctl-read", path: "hw.ncpu"},
		{ops: "sysctl-read", path: "kern.procargs2.77", rule: "default"},
		{ops: "file-write-data", path: "/dev/ttys004"},
		{ops: "file-write-data file-ioctl", path: "/dev/ttys001", rule: "default"},
		{ops: "file-write-data file-ioctl", path: "/dev/ttys001", world: world{pty: true}},
		{ops: "file-link file-mount job-creation mach-register system-socket", path: tree + "/x", rule: "default"},
	} {
		for _, op := range strings.Fields(c.ops) {
			w := c.world
			w.op, w.path, w.inside = op, c.path, op == "signal" || op == "process-info-pidinfo"
			open, message := decide(t, all, w)
			want := ""
			if c.rule != "" {
				want = "countersign 7k2mx9 " + c.rule
			}
			if open != (c.rule == "") || !open && message != want {
				t.Errorf("%s %s: open %v by %q, want %q", op, c.path, open, message, want)
			}
		}
	}
	for _, op := range []string{"signal", "process-info-pidinfo"} {
		if open, message := decide(t, all, world{op: op}); open || message == "" {
			t.Errorf("%s outside: %v %q", op, open, message)
		}
	}
}

// Each deny says whose it is.
func TestEveryDenyIsFound(t *testing.T) {
	for _, f := range forms(t, profile(t, plain())) {
		if f.list[0].word != "deny" {
			continue
		}
		with := f.list[len(f.list)-1]
		if len(with.list) != 3 || with.list[1].word != "message" || !strings.HasPrefix(with.list[2].text, "countersign 7k2mx9 ") {
			t.Errorf("no message: %s", shapes([]form{f}))
		}
	}
}

func TestNoProfile(t *testing.T) {
	for name, change := range map[string]func(*Session){
		"an id with a quote":           func(s *Session) { s.ID = `x" y` },
		"a relative project":           func(s *Session) { s.Project = "src" },
		"a line break":                 func(s *Session) { s.Home = "/x\n(allow default)" },
		"no UTF-8":                     func(s *Session) { s.Temp = "/x\xff" },
		"the root":                     func(s *Session) { s.Project = "/" },
		"not clean":                    func(s *Session) { s.Project = "/x/../y" },
		"no person":                    func(s *Session) { s.Person = "" },
		"a terminal that is a disk":    func(s *Session) { s.Terminal = "/dev/disk0" },
		"a port too high":              func(s *Session) { s.Gateway = 65536 },
		"the home in the project":      func(s *Session) { s.Person = s.Project + "/x" },
		"keys in the project":          func(s *Session) { s.Own = append(s.Own, s.Project+"/k") },
		"a program of the agent's":     func(s *Session) { s.Programs = []string{strings.ToUpper(s.Project) + "/node"} },
		"by its other name":            func(s *Session) { s.Programs = []string{"/var/folders/x1/T/7k2mx9/node"} },
		"shims around the project":     func(s *Session) { s.Shims = filepath.Dir(s.Project) },
		"to read the home":             func(s *Session) { s.Read = []string{"/Users"} },
		"a rule with a quote":          func(s *Session) { s.Denied[0].Rule = `a"` },
		"no expression":                func(s *Session) { s.Denied[0].Match = []string{"("} },
		"an expression of Perl":        func(s *Session) { s.Denied[0].Match = []string{"(?i)x"} },
		"a control character":          func(s *Session) { s.Denied[0].Except = []string{"/x\x01"} },
		"a project in a denied place":  func(s *Session) { s.Project = "/Users/ann/.env/x" },
		"a project that cannot be had": func(s *Session) { s.Denied[0].Match = []string{"[^/]*"} },
	} {
		s := plain()
		change(&s)
		if out, err := Profile(s); err == nil {
			t.Errorf("%s has a profile of %s bytes", name, strconv.Itoa(len(out)))
		}
	}
}
