package e2e

import "testing"

// pyOS runs one line of Python and says whether it went through.
func pyOS(line string) string {
	return `python3 -c 'import os,ctypes
d=os.open(".",0)
` + line + `
print("got-through")'`
}

func exchange(a, b string) string {
	return pyOS(`if ctypes.CDLL(None).renameat2(d,b"` + a + `",d,b"` + b + `",2): raise OSError()`)
}

// changed is a row of a call that would take a denied name away or change what
// stands there: one refused call, one record.
func changed(name, script, op string) attack {
	return attack{name: name, script: script, word: "got-through", needs: "python3", records: denied(1, op)}
}

// nameAttacks try to remove, rename, link or change what the deny-list closes.
var nameAttacks = []attack{
	changed("unlink", pyOS(`os.unlink(".env")`), "unlink"),
	changed("unlinkat", pyOS(`os.unlink(".env",dir_fd=d)`), "unlink"),
	changed("unlink by an absolute path", pyOS(`os.unlink(os.getcwd()+"/sub/../.env")`), "unlink"),
	changed("rm -f", `rm -f .env && echo got-through`, "unlink"),
	changed("rm -r of the directory around", `rm -rf sub; test -e sub || echo got-through`, "unlink"),
	changed("unlink through a linked directory", `ln -s sub s9; rm -f s9/server.pem && echo got-through`, "unlink"),
	changed("unlink of a hard link with a harmless name", `rm -f hard.txt && echo got-through`, "unlink"),
	{name: "unlink below a directory that was renamed", prepare: `mkdir -p dd; echo x > dd/server.key`, script: `mv dd ee && rm -f ee/server.key && echo got-through`, word: "got-through", records: denied(1, "unlink")},
	{name: "rmdir", prepare: `mkdir -p deep/.ssh`, script: `rmdir deep/.ssh && echo got-through`, word: "got-through", records: denied(1, "unlink")},
	{name: "unlinkat of a directory", prepare: `mkdir -p deep2/.ssh`, script: pyOS(`os.rmdir("deep2/.ssh",dir_fd=d)`), word: "got-through", needs: "python3", records: denied(1, "unlink")},
	{name: "rename of a denied directory", prepare: `mkdir -p deep3/.ssh; echo x > deep3/.ssh/id_rsa`, script: `mv deep3/.ssh deep3/x && echo got-through`, word: "got-through", records: denied(1, "rename")},
	changed("rename", pyOS(`os.rename(".env","away")`), "rename"),
	changed("renameat", pyOS(`os.rename(".env","away",src_dir_fd=d,dst_dir_fd=d)`), "rename"),
	changed("renameat2 in exchange", exchange(".env", "readme.md"), "rename"),
	changed("renameat2 in exchange, the other way", exchange("readme.md", ".env"), "rename"),
	changed("rename over it", pyOS(`os.rename("readme.md",".env")`), "rename"),
	changed("mv over it", `mv -f readme.md .env && echo got-through`, "rename"),
	changed("mv of it", `mv .env away && echo got-through`, "rename"),
	changed("rename of a hard link with a harmless name", `mv hard.txt away && echo got-through`, "rename"),
	changed("link", pyOS(`os.link(".env","l1")`), "link"),
	changed("linkat", pyOS(`os.link(".env","l2",src_dir_fd=d,dst_dir_fd=d)`), "link"),
	changed("linkat through a symlink made inside", `ln -s .env in1; ln -s in1 in2; ln -L in2 l3 && echo got-through`, "link"),
	changed("linkat through a descriptor", pyOS(`f=os.open(".env",os.O_PATH); os.link("/proc/self/fd/%d"%f,"l4",dst_dir_fd=d,follow_symlinks=True)`), "link"),
	changed("ln", `ln .env l5 && echo got-through`, "link"),
	changed("ln of a hard link with a harmless name", `ln hard.txt l6 && echo got-through`, "link"),
	changed("truncate", pyOS(`os.truncate(".env",0)`), "truncate"),
	changed("chmod", pyOS(`os.chmod(".env",0o777)`), "chmod"),
	changed("chown", pyOS(`os.chown(".env",os.getuid(),os.getgid())`), "chown"),
	changed("utimensat", pyOS(`os.utime(".env",(1,1))`), "utimes"),
	changed("setxattr", pyOS(`os.setxattr(".env","user.cs",b"1")`), "xattr"),
	{name: "removexattr", prepare: `python3 -c 'import os; os.setxattr(".env","user.old",b"1")'`, script: pyOS(`os.removexattr(".env","user.old")`), word: "got-through", needs: "python3", records: denied(1, "xattr")},
	{name: "a flood", script: `python3 -c '
import os
n=0
for i in range(500):
    try: os.unlink(".env")
    except OSError: n+=1
print("got-through" if n<500 else n)'`, word: "got-through", needs: "python3", records: denied(500, "unlink")},
	changed("lay a hook", `echo x > .git/hooks/pre-commit && echo got-through`, "create"),
	changed("mv to a hook", `echo x > h1; mv h1 .git/hooks/post-commit && echo got-through`, "rename"),
	changed("a link as a hook", `ln -s /bin/true .git/hooks/pre-push && echo got-through`, "create"),
	changed("a directory among hooks", `mkdir .git/hooks/d && echo got-through`, "create"),
	changed("chmod of the hooks", `chmod 700 .git/hooks && echo got-through`, "chmod"),
	changed("mv of the hooks", `mv .git/hooks .git/h2 && echo got-through`, "rename"),
	{
		name: "git looks for hooks", script: `ls -la .git/hooks >/dev/null; test -x .git/hooks/pre-commit; git commit -q --allow-empty -m empty; git checkout -q -b b1; git checkout -q -; echo done`,
		word: "never", noBare: "nothing is attacked", records: []string{},
	},
	{
		name: "ordinary names", script: `touch o1 && mv o1 o2 && ln o2 o3 && rm o2 o3 && mkdir o4 && touch o4/credentials o4/config && rm -r o4; git config --get user.nobody; echo through | tr a-z A-Z`,
		word: "never", noBare: "nothing is attacked", records: []string{},
	},
	{
		name: "a denied name made inside", script: `mkdir -p o5 && echo mine > o5/.env && mv o5/.env o5/.env.local && rm o5/.env.local && rmdir o5 && echo done`,
		word: "never", noBare: "nothing is attacked", records: []string{},
	},
}

func TestNameAttacks(t *testing.T) {
	eachUser(t, func(t *testing.T, w *world) { w.runAttacks(t, nameAttacks) })
}
