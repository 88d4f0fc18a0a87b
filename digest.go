package countersign

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"sort"
	"strings"
)

// Digest returns the action digest, "sha256:…" over the canonical bytes of
// everything an approval binds. Environment values, and arguments for which
// secret reports true, enter as HMAC-SHA256 under key, so that nobody can guess
// them from the digest. It is what a permit carries and what is compared at the
// exec stop; docs/formats/action.md gives the bytes.
func (a Action) Digest(key []byte, secret func(arg string) bool) string {
	return "sha256:" + hashHex(canonical(a.bound(key, secret)))
}

func (a Action) bound(key []byte, secret func(string) bool) map[string]any {
	m := map[string]any{"v": int64(1), "kind": string(a.Kind), "session": a.Session}
	switch {
	case a.Exec != nil:
		e := a.Exec
		m["argv"] = maskArgs(e.Argv, key, secret)
		m["cwd"] = e.Cwd
		m["exe"] = executable(e.Exe)
		m["interp"] = executables(e.Interp)
		m["env"] = keyedEnv(e.Env, key)
		m["scripts"] = scripts(e.Scripts)
		m["stdin"] = string(e.Stdin)
	case a.File != nil:
		m["path"], m["op"] = a.File.Path, a.File.Op
	case a.Net != nil:
		m["proto"], m["host"], m["port"] = a.Net.Proto, a.Net.Host, int64(a.Net.Port)
	case a.Model != nil:
		m["provider"], m["model"], m["wire"] = a.Model.Provider, a.Model.Requested, a.Model.Wire
	}
	return m
}

// ReuseKey finds what is the same command again: the executable and its
// content, argv, the working directory, the scripts it runs, and the
// environment names that count. It never enters a permit.
func (a Action) ReuseKey(key []byte, secret func(arg string) bool) string {
	e := a.Exec
	if e == nil {
		return a.Digest(key, secret)
	}
	var delta []string
	for _, c := range e.Delta {
		if !HarmlessEnv(c.Name) {
			delta = append(delta, c.Name+"="+c.Value)
		}
	}
	return "reuse:" + hashHex(canonical(map[string]any{
		"v": int64(1), "argv": maskArgs(e.Argv, key, secret), "cwd": e.Cwd,
		"exe": e.Exe.Path + "\x00" + e.Exe.SHA256, "interp": executables(e.Interp),
		"env": keyedEnv(delta, key), "scripts": scripts(e.Scripts),
	}))
}

// HarmlessEnv reports whether a difference in this variable cannot change what
// a command does beyond its looks: the shell's own bookkeeping and the size of
// the terminal.
func HarmlessEnv(name string) bool {
	switch name {
	case "_", "PWD", "OLDPWD", "SHLVL", "COLUMNS", "LINES":
		return true
	}
	return false
}

func executable(x Executable) map[string]any {
	return map[string]any{"path": x.Path, "dev": x.Dev, "ino": x.Ino, "sha256": x.SHA256}
}

func executables(xs []Executable) []any {
	out := []any{}
	for _, x := range xs {
		out = append(out, executable(x))
	}
	return out
}

func scripts(ss []Script) []any {
	out := []any{}
	for _, s := range ss {
		out = append(out, map[string]any{"path": s.Path, "sha256": s.SHA256})
	}
	return out
}

func maskArgs(argv []string, key []byte, secret func(string) bool) []any {
	out := make([]any, len(argv))
	for i, s := range argv {
		if secret != nil && secret(s) {
			s = keyed(key, s)
		}
		out[i] = s
	}
	return out
}

// keyedEnv sorts by name: the order of an environment has no meaning, its
// duplicates do, so equal names keep their order.
func keyedEnv(env []string, key []byte) []any {
	sorted := append([]string(nil), env...)
	sort.SliceStable(sorted, func(i, j int) bool { return envName(sorted[i]) < envName(sorted[j]) })
	out := make([]any, len(sorted))
	for i, kv := range sorted {
		name, value, _ := strings.Cut(kv, "=")
		out[i] = name + "=" + keyed(key, value)
	}
	return out
}

func envName(kv string) string {
	name, _, _ := strings.Cut(kv, "=")
	return name
}

func keyed(key []byte, s string) string {
	m := hmac.New(sha256.New, key)
	m.Write([]byte(s))
	return "hmac:" + hex.EncodeToString(m.Sum(nil))
}

func hashHex(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}
