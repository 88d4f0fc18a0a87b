package countersign

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
	"sync"
)

// Keyer turns secrets and environment values into keyed hashes, HMAC-SHA256
// under one key, and remembers them: an environment hardly changes from one
// command to the next. It may be used by many goroutines at once.
type Keyer struct {
	key []byte
	mu  sync.RWMutex
	env map[string]keyed // by NAME=VALUE
	// The last whole environment, and its canonical encoding.
	last     []string
	lastJSON []byte
	rooms    sync.Pool // of *[]byte, to encode an exec in
}

// keyed is a variable as NAME=hmac:…, and its canonical encoding.
type keyed struct {
	text string
	json []byte
}

// maxRemembered bounds a Keyer's memory, in variables.
const maxRemembered = 8192

// NewKeyer returns a Keyer for a key.
func NewKeyer(key []byte) *Keyer { return &Keyer{key: key, env: map[string]keyed{}} }

func (k *Keyer) hash(s string) string {
	m := hmac.New(sha256.New, k.key)
	m.Write([]byte(s))
	return "hmac:" + hex.EncodeToString(m.Sum(nil))
}

func (k *Keyer) variable(kv string) keyed {
	k.mu.RLock()
	out, known := k.env[kv]
	k.mu.RUnlock()
	if known {
		return out
	}
	name, value, _ := strings.Cut(kv, "=")
	out.text = name + "=" + k.hash(value)
	out.json = canonical(out.text)
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.env) >= maxRemembered {
		clear(k.env)
	}
	k.env[kv] = out
	return out
}

// Digest returns the action digest, "sha256:…" over the canonical bytes of
// everything an approval binds. Environment values, and arguments for which
// secret reports true, enter as keyed hashes, so that nobody can guess them from
// the digest. It is what a permit carries and what is compared at the exec stop;
// docs/formats/action.md gives the bytes.
func (a Action) Digest(k *Keyer, secret func(arg string) bool) string {
	if a.Exec != nil {
		room, ok := k.rooms.Get().(*[]byte)
		if !ok {
			room = new([]byte)
		}
		*room = a.appendExec((*room)[:0], k, secret)
		digest := "sha256:" + hashHex(*room)
		k.rooms.Put(room)
		return digest
	}
	m := map[string]any{"v": int64(1), "kind": string(a.Kind), "session": a.Session}
	switch {
	case a.File != nil:
		m["path"], m["op"] = a.File.Path, a.File.Op
	case a.Net != nil:
		m["proto"], m["host"], m["port"] = a.Net.Proto, a.Net.Host, int64(a.Net.Port)
	case a.Model != nil:
		m["provider"], m["model"], m["wire"] = a.Model.Provider, a.Model.Requested, a.Model.Wire
	}
	return "sha256:" + hashHex(canonical(m))
}

// appendExec appends the canonical map of an exec, written out in the order of
// its keys: it stands on the path of every command.
func (a Action) appendExec(b []byte, k *Keyer, secret func(string) bool) []byte {
	e := a.Exec
	b = appendCanonical(append(b, `{"argv":`...), k.args(e.Argv, secret))
	b = appendCanonical(append(b, `,"cwd":`...), e.Cwd)
	b = k.appendEnv(append(b, `,"env":`...), e.Env)
	b = appendCanonical(append(b, `,"exe":`...), executable(e.Exe))
	b = appendCanonical(append(b, `,"interp":`...), executables(e.Interp))
	b = appendCanonical(append(b, `,"kind":`...), string(a.Kind))
	if len(e.Lends) > 0 {
		b = appendCanonical(append(b, `,"lends":`...), lends(e.Lends))
	}
	b = appendCanonical(append(b, `,"scripts":`...), scripts(e.Scripts))
	b = appendCanonical(append(b, `,"session":`...), a.Session)
	b = appendCanonical(append(b, `,"stdin":`...), string(e.Stdin))
	return append(b, `,"v":1}`...)
}

// ReuseKey finds what is the same command again: the executable and its
// content, argv, the working directory, the scripts it runs, and the
// environment names that count; with secrets, also these and the kind of its input. It never enters a permit.
func (a Action) ReuseKey(k *Keyer, secret func(arg string) bool) string {
	e := a.Exec
	if e == nil {
		return a.Digest(k, secret)
	}
	var delta []string
	for _, c := range e.Delta {
		switch {
		case HarmlessEnv(c.Name):
		case c.Unset: // not the same as empty
			delta = append(delta, "-"+c.Name+"=")
		default:
			delta = append(delta, c.Name+"="+c.Value)
		}
	}
	m := map[string]any{
		"v": int64(1), "argv": k.args(e.Argv, secret), "cwd": e.Cwd,
		"exe": e.Exe.Path + "\x00" + e.Exe.SHA256, "interp": executables(e.Interp),
		"env": k.environment(delta), "scripts": scripts(e.Scripts),
	}
	if len(e.Lends) > 0 {
		m["lends"], m["stdin"] = lends(e.Lends), string(e.Stdin) // what it reads decides what it does with them
	}
	return "reuse:" + hashHex(canonical(m))
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

func (k *Keyer) args(argv []string, secret func(string) bool) []any {
	out := make([]any, len(argv))
	for i, s := range argv {
		if secret != nil && secret(s) {
			s = k.hash(s)
		}
		out[i] = s
	}
	return out
}

// sorted orders by name: the order of an environment has no meaning, its
// duplicates do, so equal names keep their order.
func sorted(env []string) []string {
	out := slices.Clone(env)
	slices.SortStableFunc(out, func(a, b string) int { return strings.Compare(envName(a), envName(b)) })
	return out
}

func (k *Keyer) appendEnv(b []byte, env []string) []byte {
	k.mu.RLock()
	last, text := k.last, k.lastJSON
	k.mu.RUnlock()
	if text != nil && slices.Equal(last, env) {
		return append(b, text...)
	}
	text = []byte{'['}
	for i, kv := range sorted(env) {
		if i > 0 {
			text = append(text, ',')
		}
		text = append(text, k.variable(kv).json...)
	}
	text = append(text, ']')
	k.mu.Lock()
	k.last, k.lastJSON = slices.Clone(env), text
	k.mu.Unlock()
	return append(b, text...)
}

func (k *Keyer) environment(env []string) []any {
	out := []any{}
	for _, kv := range sorted(env) {
		out = append(out, k.variable(kv).text)
	}
	return out
}

func envName(kv string) string {
	if i := strings.IndexByte(kv, '='); i >= 0 {
		return kv[:i]
	}
	return kv
}

func hashHex(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}
