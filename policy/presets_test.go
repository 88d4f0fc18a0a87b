package policy

import (
	"math/rand"
	"slices"
	"strings"
	"testing"

	countersign "github.com/countersign/countersign"
)

// tricks are ways to have a program that looks run another, write a file or
// reach out, most of them as GTFOBins tells them: one for each program a preset
// might think harmless, and its spellings. None may go unasked under any preset.
var tricks = []string{
	// Shells, interpreters and what starts its arguments.
	"sh -c id", "bash x.sh", "dash", "busybox sh", "python3 -c 1", "perl -e 1", "ruby -e 1", "node -e 1", "node x.js", "lua -e 1", "php -r 1",
	"env sh", "env -i sh", "env -S sh", "nice sh", "nohup sh", "timeout 9 sh", "xargs sh", "time sh", "watch ls", "setsid sh", "stdbuf -o0 sh",
	"flock x sh", "script -c id x", "strace ls", "gdb -ex run", "ssh x", "sudo ls", "su -c id", "chroot . sh", "unshare sh", "nsenter sh", "ionice sh",
	"make", "make -f x", "npm test", "npm run x", "npx x", "yarn x", "pnpm x", "pip install x", "cargo run", "go run .", "go generate ./...", "mvn test", "gradle x",
	"./x", "./ls", "/p/x", "/tmp/ls", "source x",
	// Looking programs that do more when told so.
	"find . -exec sh {} ;", "find . -exec sh {} +", "find . -execdir sh {} ;", "find . -ok sh {} ;", "find . -okdir sh {} ;", "find . -delete",
	"find . -fprint x", "find . -fprint0 x", "find . -fprintf x %p", "find . -fls x", "find . -name x -exec sh {} +", "find -files0-from x -exec sh {} +",
	"sort -o x y", "sort -ox y", "sort -uo x y", "sort y -o x", "sort --output=x y", "sort --output x y", "sort --out=x y", "sort --compress-program=sh y", "sort --compress-program sh y", "sort -T /x y",
	"uniq x y", "uniq -c x y", "diff -l x y", "diff --paginate x y", "diff -ul x y", "diff --pag x y", "tree -o x", "tree -ao x", "tree -R -H x -L 1",
	"file -C -m x", "file -Cm x", "file --compile -m x", "file -z x", "file --uncompress x", "xxd -r x y", "xxd x y", "hexdump x", "strings --plugin x y",
	"rg --pre sh x", "rg --pre=sh x", "rg --hostname-bin=sh x", "rg --hostname-bin sh x", "rg -z x", "rg --search-zip x", "rg -nz x",
	"fd -x sh", "fd -X sh", "fd --exec sh", "fd --exec-batch sh", "fd -Hx sh", "fd . -x sh",
	"sed -n w/x y", "sed -i s/a/b/ x", "sed -n 1e y", "sed 1w/x y", "sed -f x y", "awk BEGIN{system(\"id\")}", "gawk -f x", "awk 1 x",
	"less x", "more x", "man x", "vi x", "vim -c !sh", "nano x", "ed x", "ex x", "emacs x", "view x",
	"tar cf x y", "tar xf x", "tar cf x --checkpoint-action=exec=sh y", "zip x y -T -TT sh", "unzip x", "gzip x", "cpio -o", "ar r x y", "rsync -e sh x y", "scp x y", "dd of=x", "tee x", "split x", "csplit x 1", "split --filter=sh x",
	"cp x y", "mv x y", "rm x", "ln x y", "touch x", "mkdir x", "rmdir x", "install x y", "chmod 777 x", "chown u x", "truncate -s 0 x", "patch", "mktemp", "shred x", "mknod x p", "mkfifo x",
	"curl x", "wget x", "nc x 1", "ncat x", "socat x y", "telnet x", "ftp x", "dig x", "nslookup x", "ping x", "openssl s_client", "openssl enc -out x",
	"date -s x", "date --set=x", "date 010100002030", "hostname x", "hostname -F x", "kill 1", "pkill x", "crontab x", "at now", "systemctl start x", "dbus-send x", "gpg x", "docker run x", "mount x y", "sysctl -w x", "tcpdump -z sh", "ldconfig", "ld.so x", "ldd ./x", "printenv", "wall x", "logger x",
	"sqlite3 x .shell", "psql -c x", "mysql -e x", "column -t x", "look x", "readelf x", "nm --plugin x y", "objdump -d x", "gcc x.c", "cc -wrapper sh x.c", "ld x", "as x",
	// Git.
	"git -c core.fsmonitor=sh status", "git -c core.pager=sh log", "git -c diff.external=sh diff", "git -c alias.status=!sh status", "git --exec-path=. status", "git --git-dir=x status", "git --work-tree=x status", "git -C x status", "git -p log", "git --paginate diff", "git --config-env=core.pager=X log", "git --attr-source=x diff",
	"git diff --ext-diff", "git diff --textconv", "git diff --output=x", "git diff --output x", "git diff --out=x", "git diff --no-index x y", "git diff -O x", "git diff --ext", "git diff --stat --output=x", "git diff -- --output=x",
	"git log --output=x", "git log -p --ext-diff", "git log -p --textconv", "git log --show-signature", "git log --format=%G?", "git log --pretty=%GK", "git log --pretty=format:%G?", "git log --output x -p", "git log --remerge-diff",
	"git show --output=x", "git show --ext-diff", "git show --textconv", "git show --show-signature", "git show --format=%G?", "git blame --contents x y", "git blame --textconv y",
	"git grep -O x", "git grep -Osh x", "git grep -nOsh x", "git grep --open-files-in-pager=sh x", "git grep --open-files-in-pager x", "git grep --open x", "git grep --textconv x", "git grep -f x",
	"git branch x", "git branch -D x", "git branch -a x", "git branch --edit-description", "git branch -m x", "git tag x", "git tag -d x", "git tag -v x", "git tag -s x", "git remote add x y", "git remote update", "git remote -v update", "git remote show x", "git stash", "git stash pop", "git stash list x",
	"git config x y", "git config --edit", "git config --get-urlmatch x y", "git config --unset x", "git commit -m x", "git commit --amend", "git add x", "git rm x", "git mv x y", "git checkout x", "git switch x", "git restore x", "git reset --hard", "git clean -f", "git merge x", "git rebase -x sh y", "git cherry-pick x", "git revert x", "git am x", "git apply x", "git push", "git pull", "git fetch", "git fetch --upload-pack=sh x", "git clone -u sh x", "git ls-remote --upload-pack=sh x", "git archive --output=x HEAD", "git archive --remote=x --exec=sh", "git bundle create x HEAD", "git format-patch x", "git bisect run sh", "git submodule foreach sh", "git submodule update", "git worktree add x", "git difftool -x sh", "git mergetool", "git filter-branch x", "git gc", "git maintenance run", "git hook run x", "git help x", "git daemon", "git instaweb", "git send-email x", "git notes edit", "git replace --edit x", "git var GIT_EDITOR", "git cat-file --textconv x", "git cat-file --filters x", "git rev-parse --parseopt", "git ls-files --recurse-submodules", "git shell -c x", "git credential fill", "git update-index x", "git update-ref x y", "git symbolic-ref HEAD x", "git init", "git x",
	// Toolchains.
	"go test -exec=sh ./...", "go test -exec sh ./...", "go test -toolexec=sh ./...", "go test -o x ./...", "go test -coverprofile=x ./...", "go test ./... -exec=sh", "go build -toolexec=sh ./...", "go build -o x ./...", "go build ./x -o", "go vet -vettool=sh ./...", "go env -w GOFLAGS=-exec=sh", "go env -w=x", "go env -u x", "go list -export -toolexec=sh ./...", "go list -e -compiled -toolexec=sh ./...", "go tool x", "go install ./...", "go get x", "go mod tidy", "go fmt ./...", "go clean", "go -C x test ./...", "gofmt -w .", "gofmt -l -w .", "gofmt -l -cpuprofile=x .", "gofmt -l --w .",
	"cargo build --config x", "cargo --config x build", "cargo test -- x", "cargo check --target-dir x", "cargo build --manifest-path x", "cargo install x", "cargo x", "node --version -e 1", "node --require ./x --version",
}

// loaders are variables that make a harmless program run something, or read
// what it would not.
var loaders = []string{
	"LD_PRELOAD", "LD_LIBRARY_PATH", "LD_AUDIT", "DYLD_INSERT_LIBRARIES", "PATH", "HOME", "XDG_CONFIG_HOME", "TMPDIR", "GCONV_PATH", "LOCPATH", "LANG", "TERM", "TERMINFO",
	"GIT_EXTERNAL_DIFF", "GIT_PAGER", "PAGER", "GIT_DIR", "GIT_CONFIG_GLOBAL", "GIT_CONFIG_COUNT", "GIT_EXEC_PATH", "GIT_SSH_COMMAND", "GIT_TRACE", "EDITOR",
	"RIPGREP_CONFIG_PATH", "GREP_OPTIONS", "JQ_COLORS", "MAGIC", "GOFLAGS", "GOTOOLCHAIN", "GOENV", "RUSTC_WRAPPER", "RUSTFLAGS", "CARGO_BUILD_RUSTC", "NODE_OPTIONS", "BASH_ENV", "ENV",
}

func presets(t *testing.T) map[string]*Policy {
	t.Helper()
	out := map[string]*Policy{}
	for _, name := range presetNames {
		out[name] = compile(t, BuiltIn(), parse(t, LayerUser, "preset: "+name)).At("/p", "/h")
		if got := out[name].Preset(); got != name {
			t.Errorf("preset %s calls itself %s", name, got)
		}
	}
	return out
}

func TestNoPresetAllowsATrick(t *testing.T) {
	for name, p := range presets(t) {
		for _, line := range tricks {
			e := run(strings.Fields(line)...)
			e.Writable = strings.Contains(e.Argv[0], "/")
			if r := p.Exec(e, false); r.Verdict == countersign.Allow {
				t.Errorf("%s: %s allows %s", name, r.Rule, line)
			}
		}
		if r := p.Exec(run("git", "diff", "--", "--output=x"), false); r.Verdict == countersign.Allow {
			t.Errorf("%s: an operand that looks like an option goes unasked", name)
		}
	}
}

// inert are the programs none of whose options writes a file or starts a
// program. Only their rules may take any option; who adds one has read its
// manual.
var inert = []string{
	"echo", "printf", "test", "ls", "cat", "head", "tail", "tac", "nl", "wc", "cut", "tr", "comm", "cmp", "stat", "basename", "dirname", "realpath", "readlink",
	"du", "df", "od", "sha256sum", "md5sum", "grep", "jq", "uname", "id",
}

// Every allow of every preset has its examples, holds only for programs that lie
// where the session cannot write, in the session's own environment, under their
// own name, and takes no option but those it lists.
func TestEveryAllowOfEveryPreset(t *testing.T) {
	rules := 0
	for _, name := range presetNames {
		d, err := Preset(name)
		if err != nil {
			t.Fatal(err)
		}
		p := presets(t)[name]
		if len(d.Files.Except)+len(d.Net.IDs())+len(d.Files.Deny) > 0 || d.Files.Write != "" {
			t.Errorf("%s touches more than commands", name)
		}
		for _, c := range d.Cmds {
			rules++
			if c.Verdict != countersign.Allow || len(c.Match) == 0 || len(c.NotMatch) == 0 || c.Env != nil || strings.ContainsAny(c.Argv[0], "*/.") {
				t.Errorf("%s: an allow of a preset names its program, has match and not_match, and no env", c.ID)
			}
			if rest := c.Argv[len(c.Argv)-1] == "..."; rest && c.Options == nil && !slices.Contains(inert, c.Argv[0]) {
				t.Errorf("%s: takes any option, and %s is not known to be inert", c.ID, c.Argv[0])
			}
			for _, x := range c.Match {
				bent(t, p, c.ID, x.Argv)
			}
		}
	}
	if rules < 60 {
		t.Errorf("only %d rules were seen", rules)
	}
}

// bent tries what an allowed command becomes by what is around it.
func bent(t *testing.T, p *Policy, id string, argv []string) {
	t.Helper()
	if r := p.Exec(run(argv...), false); r.Verdict != countersign.Allow {
		t.Errorf("%s: its own example %q is %s", id, argv, r.Verdict)
	}
	ask := func(what string, e *countersign.Exec) {
		t.Helper()
		if r := p.Exec(e, false); r.Verdict == countersign.Allow {
			t.Errorf("%s: %s goes unasked by %s", what, e.Argv, r.Rule)
		}
	}
	for _, v := range loaders {
		ask("with another "+v, with(run(argv...), func(e *countersign.Exec) { e.Delta = []countersign.EnvChange{{Name: v, Value: "x"}} }))
		ask("without "+v, with(run(argv...), func(e *countersign.Exec) { e.Delta = []countersign.EnvChange{{Name: v, Unset: true}} }))
	}
	ask("where the session writes", with(run(argv...), func(e *countersign.Exec) { e.Writable = true }))
	ask("another program under its name", with(run(argv...), func(e *countersign.Exec) { e.Invoked, e.Exe.Path = "/usr/bin/x", "/usr/bin/x" }))
	ask("its program under another name", with(run(argv...), func(e *countersign.Exec) { e.Argv = append([]string{"sh"}, argv[1:]...) }))
	if slices.Contains(inert, argv[0]) {
		return
	}
	for _, o := range []string{"-exec", "-o", "-ox", "--output=x", "--output", "--pre=sh", "--exec", "-x", "-c", "-i", "-w", "--ext-diff", "--textconv", "-toolexec=sh", "--config=x", "-delete", "-Osh", "--paginate"} {
		bad := append(slices.Clone(argv), o)
		if allowed := p.Exec(run(bad...), false); allowed.Verdict == countersign.Allow && !benign(argv[0], o) {
			t.Errorf("%q goes unasked by %s", bad, allowed.Rule)
		}
	}
}

// benign are options of the list above that mean something harmless to a program.
func benign(program, option string) bool {
	switch program {
	case "find":
		return option == "-o" // or
	case "sort":
		return option == "-toolexec=sh" // -t with a separator
	case "uniq":
		return option == "-c"
	case "rg":
		return option == "-o" || option == "-x" || option == "-c" || option == "-i" || option == "-w"
	case "fd", "file", "diff":
		return option == "-i" || option == "-w"
	case "git":
		return option == "-o" || option == "-c" || option == "-i" || option == "-w" // of grep, ls-files, log, diff
	}
	return false
}

// A preset, whoever of the two names it, turns no deny into anything else, and no
// ask of a rule into an allow; it opens no path, no host and no model.
func TestAPresetLoosensNoRule(t *testing.T) {
	w := &world{r: rand.New(rand.NewSource(7))}
	looser := 0
	words := []string{"git status", "git push", "git diff", "ls", "cat x", "go test ./a", "grep x y", "sh -c x", "find . -name x", "sort x"}
	for range rounds() / 25 {
		rules := func(l Layer) string {
			var b strings.Builder
			b.WriteString("commands:\n")
			for range 1 + w.r.Intn(4) {
				prog := w.pick("git", "ls", "c*", "go", "grep", "/usr/bin/cat", "find")
				b.WriteString("  - {id: " + w.id() + ", verdict: " + w.pick("deny", "ask") + `, argv: ["` + prog + `"` + w.pick(`, "..."`, "", ", status", ", push", `, "*"`) + `], reason: r}` + "\n")
			}
			b.WriteString("network: [{id: " + w.id() + ", verdict: " + w.pick("deny", "ask") + ", host: a.x, port: 443, reason: r}]\n")
			return b.String()
		}
		org, user, project := rules(LayerOrganisation), rules(LayerUser), parse(t, LayerProject, rules(LayerProject))
		without := compile(t, BuiltIn(), parse(t, LayerOrganisation, org), parse(t, LayerUser, user), project)
		preset := "preset: " + w.pick(presetNames...) + "\n"
		if w.r.Intn(2) == 0 {
			org = preset + org
		} else {
			user = preset + user
		}
		with := compile(t, BuiltIn(), parse(t, LayerOrganisation, org), parse(t, LayerUser, user), project)
		for _, line := range words {
			e, covered := run(strings.Fields(line)...), w.r.Intn(2) == 0
			a, b := without.Exec(e, covered), with.Exec(e, covered)
			if a.Verdict != b.Verdict && (a.Rule != "default" || b.Verdict != countersign.Allow) {
				t.Fatalf("%s: %s by %s without a preset, %s by %s with one", line, a.Verdict, a.Rule, b.Verdict, b.Rule)
			}
			if a.Verdict != b.Verdict {
				looser++
			}
		}
		for _, path := range []string{".env", "a", "~/.ssh/id_rsa", "x.pem"} {
			if _, was := without.Path(path); was {
				if _, is := with.Path(path); !is {
					t.Fatalf("%s opens", path)
				}
			}
		}
		if without.Host("a.x", 443).Verdict != with.Host("a.x", 443).Verdict || without.Model("a", "b").Verdict != with.Model("a", "b").Verdict || !with.WriteReview("x") {
			t.Fatal("a preset touches hosts, models or review")
		}
	}
	if looser < 100 {
		t.Errorf("only %d questions fell away: the test sees too little", looser)
	}
}

func TestAPresetIsChosenOverWhatTheLayerNames(t *testing.T) {
	d := parse(t, LayerUser, "preset: trusted-workspace")
	strict, err := d.On("strict")
	if err != nil {
		t.Fatal(err)
	}
	if p := compile(t, BuiltIn(), strict); p.Preset() != "strict" || p.Exec(run("ls"), false).Verdict != countersign.Ask {
		t.Errorf("%s is in force", p.Preset())
	}
	if _, err := d.On("none"); countersign.CodeOf(err) != countersign.ENotFound {
		t.Errorf("%v", err)
	}
	org := parse(t, LayerOrganisation, "preset: standard")
	if p := compile(t, BuiltIn(), org, strict); p.Preset() != "standard" || p.Record("x").Preset != "standard" {
		t.Errorf("%s is in force", p.Preset())
	}
	project := parse(t, LayerProject, "preset: standard")
	if _, err := Compile(BuiltIn(), project); err == nil {
		t.Error("a project chooses a preset")
	}
	if x := compile(t, BuiltIn(), d).ExplainExec(run("ls")); x.Preset != "trusted-workspace" || !strings.HasPrefix(x.Pos, "preset standard:") {
		t.Errorf("explain says %s at %s", x.Preset, x.Pos)
	}
}

func TestOptions(t *testing.T) {
	p := compile(t, BuiltIn(), parse(t, LayerUser, `
commands:
  - {id: some, verdict: allow, argv: [x, a, "..."], options: ["-n", "--k=*", "--"], reason: r}
  - {id: none, verdict: allow, argv: [y, "..."], options: [], reason: r}
  - {id: other, verdict: allow, argv: [z, "..."], options: [], reason: r}
`))
	for line, want := range map[string]countersign.Verdict{
		"x a": "allow", "x a b - c": "allow", "x a -n b --k=1 -- c": "allow", "x a -nn": "ask", "x a -- -o": "ask", "x a --k": "ask", "x -n a": "ask",
		"y": "allow", "y b -": "allow", "y -n": "ask", "y --": "ask",
	} {
		if r := p.Exec(run(strings.Fields(line)...), false); r.Verdict != want {
			t.Errorf("%s is %s, want %s", line, r.Verdict, want)
		}
	}
	note := ""
	for _, m := range p.ExplainExec(run("y", "-n")).Matched {
		note += m.Note
	}
	if note != "the rule does not speak of the option -n" {
		t.Errorf("explain says %q", note)
	}
	a := compile(t, BuiltIn(), parse(t, LayerUser, `commands: [{id: a, verdict: allow, argv: [y, "..."], options: [], reason: r}]`))
	b := compile(t, BuiltIn(), parse(t, LayerUser, `commands: [{id: a, verdict: allow, argv: [y, "..."], reason: r}]`))
	if a.Bundle() == b.Bundle() {
		t.Error("no options and any options have one bundle")
	}
	for _, bad := range []string{
		`{id: a, verdict: ask, argv: [x, "..."], options: ["-n"], reason: r}`, `{id: a, verdict: allow, argv: [x], options: ["-n"], reason: r}`,
		`{id: a, verdict: allow, argv: [x, "..."], options: ["n"], reason: r}`, `{id: a, verdict: allow, argv: [x, "..."], options: ["-*"], reason: r}`, `{id: a, verdict: allow, argv: [x, "..."], options: ["--*"], reason: r}`,
	} {
		if _, err := Parse(LayerUser, "x", []byte("version: 1\ncommands: ["+bad+"]\n")); err == nil {
			t.Errorf("%s is taken", bad)
		}
	}
}
