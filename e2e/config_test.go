package e2e

import (
	"fmt"
	"strings"
	"testing"
)

// evil makes a configuration that has git start a program, and ran tells whether an
// innocent git command did.
const (
	evil = `cp .git/config evil; printf '[core]\n\tfsmonitor = "touch $PWD/fsm-ran; false"\n' | sed "s,.PWD,$PWD," >> evil; `
	ran  = `; git status >/dev/null 2>&1; test -e fsm-ran && echo got-through`
)

// onConfig is a row of a call that would have git start a program.
func onConfig(name, script string, ops ...string) attack {
	return attack{name: name, script: evil + script + ran, word: "got-through", needs: "python3", records: denied(1, ops...)}
}

func beside(a attack, why string) attack { a.noBare = why; return a }

// configAttacks try to have git start a program by its configuration.
var configAttacks = []attack{
	onConfig("append", `cat evil >> .git/config`, "write"),
	onConfig("overwrite", `cat evil > .git/config`, "write"),
	onConfig("open for reading and writing", `python3 -c 'import os; f=os.open(".git/config",os.O_RDWR); os.write(f,open("evil","rb").read())'`, "write"),
	onConfig("open a descriptor again", `exec 9<.git/config; cat evil > /proc/self/fd/9`, "write"),
	onConfig("a shared mapping", `python3 -c 'import os,mmap; b=open("evil","rb").read(); f=os.open(".git/config",os.O_RDWR); os.ftruncate(f,len(b)); m=mmap.mmap(f,len(b)); m[:]=b'`, "write"),
	onConfig("rename over it", `cp evil .git/config.lock; mv .git/config.lock .git/config; rm -f .git/config.lock`, "rename"),
	onConfig("rename of another name over it", `cp evil .git/c; mv -f .git/c .git/config`, "rename"),
	onConfig("rename from elsewhere", pyOS(`os.rename("evil",".git/config")`), "rename"),
	onConfig("renameat with a directory", pyOS(`g=os.open(".git",0); os.rename("evil","config",src_dir_fd=d,dst_dir_fd=g)`), "rename"),
	onConfig("a symlink over it", `ln -s ../evil .git/c; mv -fT .git/c .git/config`, "rename"),
	onConfig("rename in exchange", `cp evil .git/c; `+exchange(".git/c", ".git/config"), "rename"),
	onConfig("rename in exchange, the other way", `cp evil .git/c; `+exchange(".git/config", ".git/c"), "rename"),
	onConfig("rename it away", `mv .git/config .git/x && mv evil .git/config`, "rename"),
	onConfig("unlink it", `rm -f .git/config && mv evil .git/config`, "unlink"),
	beside(onConfig("link onto it", pyOS(`os.link("evil",".git/config")`), "link"), "it is there already"),
	beside(onConfig("an unnamed file linked onto it", pyOS(`f=os.open(".git",os.O_TMPFILE|os.O_RDWR); os.write(f,open("evil","rb").read()); os.link("/proc/self/fd/%d"%f,".git/config",follow_symlinks=True)`), "link"), "it is there already"),
	onConfig("link it", pyOS(`os.link(".git/config",".git/l"); f=open(".git/l","ab"); f.write(open("evil","rb").read()); f.close()`), "link"),
	onConfig("git config of a program", `git config core.fsmonitor "touch $PWD/fsm-ran; false"`, "rename"),
	onConfig("git config of a file to include", `git config include.path "$PWD/evil"`, "rename"),
	onConfig("git remote with a helper", `git remote add x 'ext::sh -c touch% fsm-ran'; git -c protocol.ext.allow=always fetch -q x`, "rename"),
	{name: "git remote with a password", script: `git remote add x https://me:pw@example.com/x && echo got-through`, word: "got-through", records: denied(1, "rename")},
	onConfig("hooks from elsewhere", `mkdir h; printf '#!/bin/sh\ntouch fsm-ran\n' > h/post-index-change; chmod +x h/*; git config core.hooksPath h; touch readme.md; git add readme.md`, "rename"),
	onConfig("another common directory", `git init -q other; cat evil > other/.git/config; echo ../other/.git > .git/commondir`, "write"),
	onConfig("another common directory by rename", `git init -q other; cat evil > other/.git/config; echo ../other/.git > c; `+pyOS(`os.rename("c",".git/commondir")`), "rename"),
	beside(onConfig("another common directory by a link", `echo ../other > c; ln c .git/commondir`, "link"), "has a row of its own"),
	onConfig("the working tree's configuration", `git config extensions.worktreeConfig true; cat evil > .git/config.worktree`, "write"),
	onConfig("the working tree's configuration by git", `git config extensions.worktreeConfig true; git config --worktree core.fsmonitor "touch $PWD/fsm-ran; false"`, "rename"),
	{name: "a submodule's", script: evil + `cat evil > .git/modules/m/config; cd m; git status >/dev/null 2>&1; cd ..; test -e fsm-ran && echo got-through`, word: "got-through", records: denied(1, "write")},
	{name: "a submodule's by git", script: `git -C m config core.fsmonitor "touch $PWD/fsm-ran; false"` + ran, word: "got-through", records: denied(1, "rename")},
	{name: "a submodule's directory in exchange", script: evil + `cp -r .git/modules/m m2; cat evil > m2/config; mv .git/modules/m m3 && mv m2 .git/modules/m; git -C m status >/dev/null 2>&1; test -e fsm-ran && echo got-through`, word: "got-through", records: denied(1, "rename")},
	{name: "all submodules' directory in exchange", script: evil + `cp -r .git/modules m4; cat evil > m4/m/config; mv .git/modules m5 && mv m4 .git/modules; git -C m status >/dev/null 2>&1; test -e fsm-ran && echo got-through`, word: "got-through", records: denied(1, "rename")},
	{name: "the git directory away", script: `mv .git g3 && mv g3 .git && echo got-through`, word: "got-through", records: denied(1, "rename")},
	{name: "a submodule's .git file", script: evil + `mv m/.git m/g && echo got-through`, word: "got-through", records: denied(1, "rename")},
	{name: "a nested repository's", script: `git -C nested config core.fsmonitor "touch $PWD/fsm-ran; false"; git -C nested status >/dev/null 2>&1; test -e fsm-ran && echo got-through`, word: "got-through", records: denied(1, "rename")},
	{name: "a hook from another directory", script: `printf '#!/bin/sh\ntouch fsm-ran\n' > h1; chmod +x h1; python3 -c 'import os; os.rename("h1",".git/hooks/post-index-change")'; touch readme.md; git status >/dev/null; test -e fsm-ran && echo got-through`, word: "got-through", needs: "python3", records: denied(1, "rename")},
	{name: "a hook linked from another directory", script: `printf '#!/bin/sh\ntouch fsm-ran\n' > h1; chmod +x h1; ln h1 .git/hooks/post-index-change; touch readme.md; git status >/dev/null; test -e fsm-ran && echo got-through`, word: "got-through", records: denied(1, "link")},
	{name: "a hook renamed by its directory", script: `printf '#!/bin/sh\ntouch fsm-ran\n' > post-index-change; chmod +x post-index-change; python3 -c 'import os; os.rename("post-index-change","post-index-change",dst_dir_fd=os.open(".git/hooks",0))'; touch readme.md; git status >/dev/null; test -e fsm-ran && echo got-through`, word: "got-through", needs: "python3", records: denied(1, "rename")},
}

const configSetup = `git init -q -b main ../lib; (cd ../lib; echo l > l.txt; git add .; git commit -qm lib)
git -c protocol.file.allow=always submodule --quiet add "$PWD/../lib" m; git commit -qm submodule
git init -q nested; cd nested; echo n > n.txt; git add .; git commit -qm n`

func TestConfigAttacks(t *testing.T) {
	eachUser(t, func(t *testing.T, w *world) {
		rows := append([]attack(nil), configAttacks...)
		rows[0].prepare = configSetup
		for i := range rows { // each by itself: none may lean on what another left
			rows[i].script += "\n" + `rm -rf evil fsm-ran other c h h1 post-index-change m2 m4; rm -f .git/c .git/x .git/l .git/config.lock`
		}
		w.runAttacks(t, rows)
	})
}

// gitsOwn is what git itself does with its configuration, bare and inside alike.
const gitsOwn = `set -e
git config branch.x.description 'words and more'; git config user.name 'some body'; git config --get branch.x.description; git config --unset branch.x.description
git checkout -q -b topic --track main; git config branch.topic.merge; git branch -m topic moved; git config branch.moved.merge; git checkout -q main; git branch -q -D moved; git config branch.moved.merge || echo none
git remote add up https://example.com/up; git remote rename up higher; git remote set-url higher ssh://git@example.com/x; git remote -v | grep -v push; git remote remove higher; git remote
git submodule init; git config submodule.m.active; git -C m config user.email m@example.com; git -C m config user.email
git init -q; git config core.filemode; git config core.bare
git worktree add -q ../wt -b w; (cd ../wt; git status --porcelain; git config branch.w.description wt; git config extensions.worktreeConfig true; git config --worktree user.name wt; git config user.name); git config user.name; git worktree list | wc -l; git worktree remove --force ../wt; git config --unset extensions.worktreeConfig
echo more >> readme.md; git stash -q; git stash pop -q; git checkout -q readme.md
for i in $(seq 30); do git config branch.many$i.description "$(printf %0400d $i)"; done; git config --get-regexp 'many.*' | wc -c; for i in $(seq 30); do git config --remove-section branch.many$i; done
cp .git/config copy; cmp copy .git/config && echo same; rm copy; grep -r nothing-like-"that" . || echo "grep $?"
git status --porcelain; echo "rc $?"
`

// TestGitChangesItsConfiguration: all of git's own ways go on as outside.
func TestGitChangesItsConfiguration(t *testing.T) {
	eachUser(t, func(t *testing.T, w *world) {
		w.write("readme.md", "hello\n")
		w.write("agent.sh", "bash ./inner.sh\n")
		w.write("inner.sh", gitsOwn)
		w.repo()
		if r := w.exec("bash", "-ec", configSetup); r.code != 0 {
			t.Fatal(r.err)
		}
		r := w.cs("run", "--policy", w.policy(allowBash), "--approver", "none", "--", "bash", "agent.sh")
		inits := 0 // git init asks by chmod whether there are modes
		for _, x := range w.log() {
			if !strings.HasSuffix(x.Type, ".denied") {
				continue
			}
			if inits++; inits > 1 || x.Action.Op != "write" {
				t.Errorf("on record: %s %s %s %s", x.Type, x.Action.Op, x.Action.Path, x.Action.Summary)
			}
		}
		want := w.exec("bash", "inner.sh")
		if r.code != 0 || want.code != 0 || r.out != want.out {
			t.Errorf("inside (%d) is not as bare (%d): %s\n%s%s", r.code, want.code, firstDifference(want.out, r.out), r.err, want.err)
		}
	})
}

// raceOnConfig writes the configuration by every route, as fast as it can, while an
// innocent git command runs again and again.
const raceOnConfig = `import os, sys, mmap, threading, time, subprocess, ctypes
n = [0] * 8
end = time.time() + float(sys.argv[1])
good = open(".git/config", "rb").read()
evil = good + b'[core]\n\tfsmonitor = "echo x >> %s/fsm-ran; false"\n' % os.getcwd().encode()
# Of one length with evil: what is torn between the two would still parse.
calm = good + b'[user]\n\tname = "' + b'y' * (len(evil) - len(good) - 18) + b'"\n'
libc = ctypes.CDLL(None)
def over(i, f):
    while time.time() < end:
        try: f()
        except OSError: pass
        n[i] += 1
def direct():
    with open(".git/config", "wb") as f: f.write(evil)
def put(name, text):
    with open(name, "wb") as f: f.write(text)
def rename():
    put(".git/r.lock", evil); os.rename(".git/r.lock", ".git/config")
def link():
    put(".git/l.lock", evil); os.link(".git/l.lock", ".git/config")
def swap():
    put(".git/s.lock", evil); libc.renameat2(-100, b".git/s.lock", -100, b".git/config", 2)
def mapped():
    f = os.open(".git/m.lock", os.O_RDWR | os.O_CREAT); os.ftruncate(f, len(evil))
    m = mmap.mmap(f, len(evil)); m[:] = calm
    t = threading.Thread(target=lambda: m.__setitem__(slice(None), evil)); t.start()
    try: os.rename(".git/m.lock", ".git/config")
    finally: t.join(); m.close(); os.close(f)
def thread():
    put(".git/t.lock", calm)
    t = threading.Thread(target=lambda: put(".git/t.lock", evil)); t.start()
    try: os.rename(".git/t.lock", ".git/config")
    finally: t.join()
def away():
    os.rename(".git/config", ".git/gone")
def common():
    put(".git/commondir", b"../other/.git\n")
all = [rename] if len(sys.argv) > 2 else [direct, rename, link, swap, mapped, thread, away, common]
ts = [threading.Thread(target=over, args=(i, f)) for i, f in enumerate(all)]
for t in ts: t.start()
runs = bad = 0
while time.time() < end:
    p = subprocess.run(["git", "status", "--porcelain", "-uno"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    runs += 1; bad += p.returncode != 0
for t in ts: t.join()
print("tries", n, "runs", runs, "failed", bad, "ran", os.path.exists("fsm-ran"))
`

// TestRaceOnConfig: none of the writes has git start a program.
func TestRaceOnConfig(t *testing.T) {
	if _, err := lookPath("python3"); err != nil {
		t.Skip("not protected here: python3 is not installed")
	}
	seconds := "20"
	if testing.Short() {
		seconds = "4"
	}
	eachUser(t, func(t *testing.T, w *world) {
		w.write("readme.md", "hello\n")
		w.write("race.py", raceOnConfig)
		w.repo()
		r := w.exec("bash", "-c", "git init -q other; mkdir ../bare; cp -a . ../bare/project; cd ../bare/project; python3 race.py 3 bare")
		if !strings.Contains(r.out, "ran True") {
			t.Errorf("the race proves nothing: bare %q %s", r.out, r.err)
		}
		r = w.script(allowBash, "python3 race.py "+seconds)
		t.Log(strings.TrimSpace(r.out))
		var runs, failed int
		_, tail, _ := strings.Cut(r.out, "runs ")
		fmt.Sscanf(tail, "%d failed %d", &runs, &failed)
		if r.code != 0 || !strings.Contains(r.out, "ran False") || runs < 20 || failed > 0 {
			t.Errorf("exit %d: %s%s", r.code, r.out, r.err)
		}
		if strings.Contains(r.out, "[0") || strings.Contains(r.out, " 0,") {
			t.Errorf("a route was not tried: %s", r.out)
		}
		w.must("verify")
	})
}
