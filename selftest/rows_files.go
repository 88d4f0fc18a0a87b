package selftest

// denied are n records of a refusal of a file operation.
func denied(op string) []string { return []string{"file.denied " + op} }

// read is a row that must not read the canary .env.
func read(name, tries, try string, args ...string) Row {
	return Row{
		Name: name, Door: Files, Control: "AC-05", Invariant: 2, Tries: tries, Try: try, Args: args,
		Errno: []string{"EACCES"}, Records: denied("read"), Denied: ".env",
	}
}

// change is a row that must not change a denied file or its name.
func change(name, tries, op, try string, args ...string) Row {
	r := read(name, tries, try, args...)
	r.Errno, r.Records = []string{"EACCES", "EBUSY"}, denied(op)
	return r
}

func (r Row) of(path string) Row             { r.Denied = path; return r }
func (r Row) bare(why string) Row            { r.Bare = why; return r }
func (r Row) needs(what string) Row          { r.Needs = what; return r }
func (r Row) errno(names ...string) Row      { r.Errno = names; return r }
func (r Row) records(list ...string) Row     { r.Records = list; return r }
func (r Row) unrecorded(why string) Row      { r.Records, r.Unrecorded = nil, why; return r }
func (r Row) running(argv ...string) Row     { r.Runs = argv; return r }
func (r Row) control(id string, inv int) Row { r.Control, r.Invariant = id, inv; return r }

func fileRows() []Row {
	const env = "{project}/.env"
	return []Row{
		read("env-open", "open .env and read it", "read", env),
		read("env-relative", "open it by a relative name", "read", ".env"),
		read("env-dots", "open it through dot segments", "read", "{project}/sub/../.env"),
		read("env-slashes", "open it with doubled slashes", "read", "{project}//./.env"),
		read("env-open-call", "the legacy open call", "open", env).needs(NeedAMD64),
		read("env-openat2", "openat2", "openat2", env),
		read("env-path-descriptor", "open it O_PATH, then again through /proc/self/fd", "reopen", env),
		read("env-directory-descriptor", "open it below a descriptor of its directory", "openat", "{project}", ".env"),
		read("env-cwd-link", "through /proc/self/cwd", "read", "/proc/self/cwd/.env"),
		read("env-root-link", "through /proc/self/root", "read", "/proc/self/root"+env),
		read("env-thread-root-link", "through /proc/thread-self/root", "read", "/proc/thread-self/root"+env),
		read("env-map", "map it into memory", "mmap", env),
		read("env-sendfile", "have the kernel send it elsewhere", "sendfile", env, "{project}/sent"),
		read("env-copy-range", "copy_file_range", "copyrange", env, "{project}/ranged"),
		read("env-splice", "splice it into a pipe", "splice", env),
		read("env-symlink", "a symlink made inside", "vialink", env, "{project}/innocent"),
		read("env-symlink-chain", "a symlink of a symlink", "vialinks", env, "{project}/chain"),
		read("env-old-symlink", "a symlink that stood before", "read", "{project}/link-to-env"),
		read("env-hard-link", "a hard link that stood before", "read", "{project}/hard.txt"),
		change("env-link", "make a hard link of it", "link", "hardlink", env, "{project}/linked"),
		change("env-link-descriptor", "link its open descriptor to a name", "link", "linkfd", env, "{project}/linked-fd"),
		change("env-rename", "rename it", "rename", "rename", env, "{project}/moved"),
		change("env-rename-over", "put another file in its place", "rename", "renameover", "{project}/placed", env),
		change("env-exchange", "exchange it with another name", "rename", "exchange", "{project}/other", env),
		change("env-unlink", "remove it", "unlink", "unlink", env),
		change("env-truncate", "truncate it", "truncate", "truncate", env),
		change("env-append", "append to it", "write", "append", env),
		change("env-chmod", "change its mode", "chmod", "chmod", env).errno("EACCES", "EROFS"),
		change("env-utimes", "change its times", "utimes", "utimes", env).errno("EACCES", "EROFS"),
		change("env-xattr", "set an attribute on it", "xattr", "xattr", env).errno("EACCES", "EROFS").bare("not every file system has attributes"),
		read("env-directory-moved", "rename the directory above it, read it there", "readmoved", "{project}/dir", "{project}/elsewhere", "server.key").of("dir/server.key"),
		read("env-case", "another case: .ENV", "read", "{project}/upper/.ENV").of("upper/.ENV"),
		read("env-unicode", "a compatibility form of Unicode in the name", "read", "{project}/.\uff45nv").of(".\uff45nv"),
		read("env-invisible", "a character without width in the name", "read", "{project}/.e\u200bnv").of(".e\u200bnv"),
		read("env-nested", "one further down, of another suffix", "read", "{project}/a/b/.env.production").of("a/b/.env.production"),
		read("private-key", "a private key by its suffix", "read", "{project}/sub/server.pem").of("sub/server.pem"),
		read("ssh-key-in-project", "a private key by its name", "read", "{project}/deploy/id_ed25519").of("deploy/id_ed25519"),
		read("cloud-credentials-in-project", "credentials of a cloud", "read", "{project}/.aws/credentials").of(".aws/credentials"),
		read("env-by-shell", "an approved shell reads it", "run").running("/bin/sh", "-c", "cat .env"),
		read("env-three-times", "three tries make three records", "thrice", env).records("file.denied read", "file.denied read", "file.denied read"),
		read("env-exec", "execute it", "exec", env).errno().unrecorded("the kernel refuses a file without an x bit before it is opened").bare("it is no program"),
		{
			Name: "real-tree-write", Door: Files, Control: "AC-09", Invariant: 4, Tries: "write a file of the project: it lands in the staging layer alone",
			Try: "overwrite", Args: []string{"{project}/readme.md"}, Real: "readme.md", Records: []string{},
		},
		{
			Name: "real-tree-link-out", Door: Files, Control: "AC-09", Invariant: 4, Tries: "write through a symlink that leads out of the project",
			Try: "writelink", Args: []string{"{outside}/notes", "{project}/out"}, Records: []string{},
		},
		{
			Name: "beside-the-project", Door: Files, Control: "AC-05", Invariant: 5, Tries: "read a file beside the project",
			Try: "read", Args: []string{"{outside}/notes"}, Records: []string{},
		},
	}
}

// home is a row on a well-known place of the home directory.
func home(name, tries, path, op string) Row {
	return Row{
		Name: name, Door: Files, Control: "AC-05", Invariant: 2, Tries: tries, Try: "read", Args: []string{"{home}/" + path},
		Errno: []string{"EACCES"}, Records: denied(op), Denied: "~/" + path,
	}
}

func homeRows() []Row {
	return []Row{
		home("home-ssh-key", "the ssh key of the home", ".ssh/id_ed25519", "lookup"),
		read("home-ssh-listed", "list the directory of ssh keys", "list", "{home}/.ssh").of("~/.ssh/id_ed25519").records("file.denied list"),
		home("home-aws", "its AWS credentials", ".aws/credentials", "lookup"),
		home("home-kube", "its Kubernetes configuration", ".kube/config", "lookup"),
		home("home-docker", "its Docker credentials", ".docker/config.json", "lookup"),
		home("home-gnupg", "its GnuPG keys", ".gnupg/private-keys-v1.d/key", "lookup"),
		home("home-netrc", "its .netrc", ".netrc", "read"),
		home("home-git-credentials", "git's stored passwords", ".git-credentials", "read"),
		home("home-history", "the shell's history", ".bash_history", "read"),
		{
			Name: "home-other-project", Door: Files, Control: "AC-05", Invariant: 5, Tries: "another project of the home",
			Try: "read", Args: []string{"{home}/other/notes"}, Records: []string{},
		},
	}
}

func gitRows() []Row {
	git := func(name, tries, op, try string, args ...string) Row {
		r := Row{Name: name, Door: Git, Control: "AC-05", Invariant: 2, Tries: tries, Try: try, Args: args, Needs: NeedGit, Denied: ".env", Records: []string{}}
		if op != "" {
			r.Records = denied(op)
		}
		return r
	}
	frozen := func(name, tries, op, try string, args ...string) Row {
		r := git(name, tries, op, try, args...)
		r.Control, r.Invariant, r.Errno, r.Denied = "AC-05", 5, []string{"EPERM", "EROFS"}, ""
		return r
	}
	return []Row{
		git("git-show", "git show of a denied blob", "withheld", "run").running("git", "show", "HEAD:.env"),
		git("git-show-index", "git show of the index", "withheld", "run").running("git", "show", ":.env"),
		git("git-log-patch", "git log -p of it", "withheld", "run").running("git", "log", "-p", "--all", "--", ".env"),
		git("git-archive", "git archive of it", "withheld", "run").running("git", "archive", "HEAD", ".env"),
		git("git-blame", "git blame of it", "withheld", "run").running("git", "blame", "-s", "HEAD", "--", ".env"),
		git("git-objects-by-hand", "inflate every loose object of the repository", "", "objects", "{project}/.git").unrecorded("as many as there are withheld objects"),
		frozen("git-hook", "write a hook", "create", "create", "{project}/.git/hooks/post-checkout"),
		frozen("git-hook-rename", "move a hook in", "rename", "renameover", "{project}/made-hook", "{project}/.git/hooks/post-commit"),
		frozen("git-hook-link", "link a hook in", "link", "linkmade", "{project}/made-hook-2", "{project}/.git/hooks/pre-commit"),
		frozen("git-config-write", "write git's configuration in place", "write", "append", "{project}/.git/config"),
		frozen("git-config-rename", "move a configuration over it that names a program", "rename", "plant", "{project}/.git/config.lock", "{project}/.git/config"),
		frozen("git-config-unlink", "remove it", "unlink", "unlink", "{project}/.git/config"),
	}
}
