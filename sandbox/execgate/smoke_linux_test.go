//go:build amd64 || arm64

package execgate

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// TestOrdinaryWorkIsNotKilled: what people do all day passes the comparison.
func TestOrdinaryWorkIsNotKilled(t *testing.T) {
	for name, script := range map[string]string{
		"git":    "git init -q . && git -c user.name=a -c user.email=a@b commit -q --allow-empty -m x && git log --oneline",
		"go":     "printf 'module x\\ngo 1.21\\n' >go.mod && printf 'package main\\nfunc main(){println(1)}\\n' >m.go && go build -o x . && ./x",
		"make":   "printf 'a:\\n\\t@echo hi | cat | sort\\n' >Makefile && make -s a",
		"node":   "node -e \"require('child_process').execSync('echo hi | cat'); require('child_process').spawnSync('sh',['-c','true'])\"",
		"python": "/usr/bin/python3 -c \"import subprocess,os; [subprocess.run(['true']) for _ in range(5)]; os.system('true')\"",
		"gcc":    "printf 'int main(){return 0;}' >m.c && gcc -o m m.c && ./m",
		"find":   "seq 50 | xargs -P4 -n1 /bin/echo | wc -l && find / -maxdepth 1 -exec true {} \\;",
		"script": "printf '#!/bin/sh\\nexec \"$@\"\\n' >w && chmod +x w && ./w ./w ./w true",
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := exec.LookPath(name); err != nil && name != "python" && name != "script" {
				t.Skip("no", name)
			}
			g := newGated(t)
			g.env = append(g.env, "HOME="+g.dir, "GOCACHE="+g.dir+"/c", "GOFLAGS=-mod=mod", "PATH="+os.Getenv("PATH"))
			if code := g.run("/bin/sh", "-c", script); code != 0 {
				t.Errorf("exit %d", code)
			}
			for _, e := range g.judge.ends {
				if !strings.HasSuffix(e, "ok ") && !strings.HasSuffix(e, "failed ") {
					t.Error(e)
				}
			}
			for _, r := range g.judge.refused {
				t.Log("refused:", r)
			}
			t.Log(len(g.judge.seen), "execs")
		})
	}
}
