package keys

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"filippo.io/age"
	"github.com/google/go-cmp/cmp"

	countersign "github.com/countersign/countersign"
)

// secret makes what looks like a key, at run time.
func secret(n int) string {
	return strings.Join([]string{"sk", "test", fmt.Sprint("0a1b2c3d4e", n)}, "-")
}

// chain is a keychain in memory.
type chain map[string]string

func (c chain) Get(_, user string) (string, error) {
	if v, ok := c[user]; ok {
		return v, nil
	}
	return "", errors.New("no entry, and these words hold " + secret(1))
}
func (c chain) Set(_, user, s string) error { c[user] = s; return nil }
func (c chain) Delete(_, user string) error { delete(c, user); return nil }

// deaf is a keychain that waits for a person.
type deaf struct{ None }

func (deaf) Get(_, _ string) (string, error) { select {} }

func store(t *testing.T, k Keychain) Store {
	dir := t.TempDir()
	return Store{Dir: filepath.Join(dir, "config/keys"), Identity: filepath.Join(dir, "state/keys/identity"), Keychain: k}
}

func put(t *testing.T, path, content string, mode os.FileMode) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestSetListRemove(t *testing.T) {
	for _, tt := range []struct {
		name  string
		chain Keychain
		at    Where
		want  Where
	}{
		{"a keychain", chain{}, "", InKeychain},
		{"no keychain", None{}, "", InFile},
		{"a file though there is a keychain", chain{}, InFile, InFile},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, ctx := store(t, tt.chain), t.Context()
			put(t, filepath.Join(s.Dir, "anthropic"), secret(9), 0o600) // by hand, before
			for i, name := range []string{"openai", "anthropic"} {
				got, err := s.Set(ctx, name, " "+secret(i)+" \n", tt.at)
				if err != nil || got != tt.want {
					t.Fatal(got, err)
				}
				if key, err := s.Find(ctx, name, Ref{}); key != secret(i) || err != nil {
					t.Errorf("%q, %v", key, err)
				}
			}
			kept, err := s.List()
			if diff := cmp.Diff([]Kept{{"anthropic", tt.want}, {"openai", tt.want}}, kept); diff != "" || err != nil {
				t.Error(diff, err)
			}
			nothingInClear(t, filepath.Dir(filepath.Dir(s.Dir)))
			if err := s.Remove(ctx, "openai"); err != nil {
				t.Error(err)
			}
			if key, err := s.Find(ctx, "openai", Ref{}); key != "" || err != nil {
				t.Errorf("%q, %v", key, err)
			}
			if err := s.Remove(ctx, "openai"); countersign.CodeOf(err) != countersign.ENotFound {
				t.Error(err)
			}
			if c, ok := tt.chain.(chain); ok && len(c) > 1 {
				t.Error("the keychain still holds what was removed")
			}
		})
	}
	s := store(t, None{})
	for _, bad := range []string{"../x", "", "A", "a/b", ".x", "x.age"} {
		_, err := s.Set(t.Context(), bad, "k", "")
		if err == nil || s.Remove(t.Context(), bad) == nil {
			t.Errorf("%q is taken for a name", bad)
		}
	}
	for _, bad := range []string{"", " \n", secret(1) + "\nb", secret(1) + "\x00"} {
		if _, err := s.Set(t.Context(), "x", bad, ""); err == nil || strings.Contains(err.Error(), secret(1)) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if _, err := s.Set(t.Context(), "x", "k", InKeychain); err == nil || countersign.RemedyOf(err) == "" {
		t.Errorf("a keychain that is not there took a key: %v", err)
	}
}

// nothingInClear looks for keys, and for files that others may read.
func nothingInClear(t *testing.T, root string) {
	t.Helper()
	err := filepath.Walk(root, func(path string, fi os.FileInfo, err error) error {
		if err != nil || fi.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		if strings.Contains(string(b), "sk-test") {
			t.Errorf("%s holds a key in clear", path)
		}
		if runtime.GOOS != "windows" && fi.Mode().Perm() != 0o600 {
			t.Errorf("%s: mode %v", path, fi.Mode())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestFindWhereTheConfigurationSays(t *testing.T) {
	dir := t.TempDir()
	good := put(t, filepath.Join(dir, "key"), secret(2)+"\n\n", 0o600)
	long := put(t, filepath.Join(dir, "long"), strings.Repeat("x", maxKey+1), 0o600)
	put(t, filepath.Join(dir, "project/bin/get-key"), "#!/bin/sh\necho "+secret(1)+"\n", 0o700)
	put(t, filepath.Join(dir, "beside"), "#!/bin/sh\necho "+secret(3)+"; [ $PWD = "+dir+" ] || echo elsewhere; read x || exit 0\n", 0o700)
	if err := os.Symlink(filepath.Join(dir, "project/bin/get-key"), filepath.Join(dir, "innocent")); err != nil {
		t.Skip(err)
	}
	linked := filepath.Join(dir, "linked")
	if err := os.Symlink(filepath.Join(dir, "project/key"), linked); err != nil {
		t.Skip(err)
	}
	t.Setenv("PATH", filepath.Join(dir, "project/bin")+":.:"+os.Getenv("PATH"))
	s := store(t, chain{"corp": secret(4)})
	s.Env = func(n string) (string, bool) { return secret(5), n == "KEY" }
	s.Avoid, s.Limit = []string{filepath.Join(dir, "project")}, 2*time.Second
	sh := func(script string) Ref { return Ref{Command: []string{"sh", "-c", script}, Dir: dir} }
	tests := []struct {
		name               string
		ref                Ref
		want, fails, mends string
	}{
		{"none kept, none said", Ref{}, "", "", ""},
		{"file", Ref{File: good}, secret(2), "", ""},
		{"file of others", Ref{File: put(t, filepath.Join(dir, "open"), secret(1), 0o644)}, "", "can be read by others (mode 0644)", "chmod 600 "},
		{"empty file", Ref{File: put(t, filepath.Join(dir, "empty"), "\n", 0o600)}, "", "there is none", "mode 0600"},
		{"file that is none", Ref{File: dir}, "", "no regular file", "name a file"},
		{"large file", Ref{File: long}, "", "too large", "name a file"},
		{"two lines", Ref{File: put(t, filepath.Join(dir, "two"), secret(1)+"\n"+secret(1), 0o600)}, "", "more than one line", "mode 0600"},
		{"no file", Ref{File: filepath.Join(dir, "none")}, "", "no such file", "mode 0600"},
		{"env", Ref{Env: "KEY"}, secret(5), "", ""},
		{"file of the project", Ref{File: put(t, filepath.Join(dir, "project/key"), secret(1), 0o600)}, "", "lies in the project", "mode 0600"},
		{"link to a file of the project", Ref{File: linked}, "", "lies in the project", "mode 0600"},
		{"no env", Ref{Env: "NO"}, "", "the variable NO is not set", "set NO"},
		{"keychain", Ref{Keyring: "corp"}, secret(4), "", ""},
		{"no entry", Ref{Keyring: "none"}, "", "the keychain", "keys set --keyring none"},
		{"command", sh("echo '  " + secret(6) + " '; echo second line; echo noise >&2"), secret(6), "", ""},
		{"command beside gateway.yaml, no input", Ref{Command: []string{"./beside"}, Dir: dir}, secret(3), "", ""},
		{"command without a terminal", sh("(exec 3<>/dev/tty) 2>/dev/null && echo tty || echo " + secret(6)), secret(6), "", ""},
		{"command that fails", sh("echo " + secret(1) + "; echo " + secret(1) + " >&2; exit 3"), "", "the key command sh ended with exit status 3", "by hand: sh"},
		{"command that is killed", sh("kill -9 $$ # " + secret(1)), "", "ended with signal: killed", "by hand"},
		{"command that says nothing", Ref{Command: []string{"true", secret(1)}}, "", "there is none", "by hand: true"},
		{"command that says too much", sh("yes " + secret(1) + " | head -c 100000"), "", "more than a key", "by hand"},
		{"command that leaves a daemon", sh("sleep 60 & echo " + secret(6)), secret(6), "", ""},
		{"command that is not there", Ref{Command: []string{"no-such-program", secret(1)}}, "", "is not on PATH", "by hand"},
		{"command of the project", Ref{Command: []string{"get-key"}}, "", "lies in the project", "by hand"},
		{"link into the project", Ref{Command: []string{filepath.Join(dir, "innocent")}}, "", "lies in the project", "by hand"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := s.Find(t.Context(), "corp", tt.ref)
			if got != tt.want || (err == nil) != (tt.fails == "") {
				t.Errorf("got %q, %v", got, err)
			}
			if err == nil {
				return
			}
			text := fmt.Sprintf("%v %+v %s", err, err, countersign.RemedyOf(err))
			if !strings.Contains(text, tt.fails) || !strings.Contains(countersign.RemedyOf(err), tt.mends) || countersign.CodeOf(err) != countersign.EAuth {
				t.Errorf("%v; %s", err, countersign.RemedyOf(err))
			}
			if strings.Contains(text, "sk-test") {
				t.Errorf("the error holds a key: %s", text)
			}
		})
	}
}

func TestWhatHangsIsEnded(t *testing.T) {
	s := store(t, deaf{})
	s.Limit = 50 * time.Millisecond
	mark := filepath.Join(t.TempDir(), "pid")
	for _, ref := range []Ref{{Keyring: "x"}, {Command: []string{"sh", "-c", "(echo $$ > " + mark + "; sleep 600); echo " + secret(1)}}} {
		if key, err := s.Find(t.Context(), "x", ref); key != "" || err == nil || !strings.Contains(err.Error(), "not answer") {
			t.Errorf("%q, %v", key, err)
		}
	}
}

func TestFileOfAnotherUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give a file away")
	}
	path := put(t, filepath.Join(t.TempDir(), "key"), secret(1), 0o600)
	if err := os.Chown(path, 12345, 12345); err != nil {
		t.Skip(err)
	}
	_, err := store(t, None{}).Find(t.Context(), "x", Ref{File: path})
	if err == nil || !strings.Contains(err.Error(), "another user") || !strings.HasPrefix(countersign.RemedyOf(err), "chown ") {
		t.Errorf("%v; %s", err, countersign.RemedyOf(err))
	}
}

func TestFileThatNobodyCanOpen(t *testing.T) {
	s, ctx := store(t, None{}), t.Context()
	if _, err := s.Set(ctx, "a", secret(1), ""); err != nil {
		t.Fatal(err)
	}
	other := store(t, None{})
	if _, err := other.Set(ctx, "b", secret(2), ""); err != nil {
		t.Fatal(err)
	}
	right, wrong := s.Identity, other.Identity
	for _, id := range []string{wrong, filepath.Join(s.Dir, "none"), "", put(t, filepath.Join(t.TempDir(), "id"), secret(3), 0o600)} {
		s.Identity = id
		if key, err := s.Find(ctx, "a", Ref{}); key != "" || err == nil || strings.Contains(err.Error(), "sk-test") || countersign.RemedyOf(err) == "" {
			t.Errorf("identity %s: %q, %v", id, key, err)
		}
	}
	s.Identity = right
	if err := os.Chmod(right, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Find(ctx, "a", Ref{}); runtime.GOOS != "windows" && (err == nil || !strings.Contains(countersign.RemedyOf(err), "chmod 600 "+right)) {
		t.Errorf("an identity that others may read was used: %v", err)
	}
}

// An identity sealed for a service is not there when the key is set.
func TestRecipientOfAnIdentityElsewhere(t *testing.T) {
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	s := store(t, None{})
	put(t, filepath.Join(s.Dir, "recipients.txt"), "# the service's\n"+id.Recipient().String()+"\n", 0o600)
	if _, err := s.Set(t.Context(), "a", secret(1), ""); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(s.Identity); err == nil {
		t.Error("an identity was made that opens nothing")
	}
	put(t, s.Identity, id.String()+"\n", 0o600)
	if key, err := s.Find(t.Context(), "a", Ref{}); key != secret(1) || err != nil {
		t.Errorf("%q, %v", key, err)
	}
	strange, _ := age.GenerateX25519Identity()
	put(t, s.Identity, strange.String()+"\n", 0o600)
	if _, err := s.Set(t.Context(), "b", secret(1), ""); err == nil || !strings.Contains(countersign.RemedyOf(err), "recipients.txt") {
		t.Errorf("a key was encrypted to what the identity does not open: %v", err)
	}
}

func TestCacheAsksOnceAndAgain(t *testing.T) {
	var c Cache
	var clock atomic.Int64
	now := func() time.Time { return time.Unix(clock.Load(), 0) }
	var looks atomic.Int32
	gate := make(chan bool)
	find := func(context.Context) (string, error) {
		<-gate
		return fmt.Sprint("key", looks.Add(1)), nil
	}
	var wg sync.WaitGroup
	gone, leave := context.WithCancel(t.Context())
	leave()
	if _, err := c.Get(gone, "a", "", now, find); err == nil {
		t.Error("who hung up got an answer")
	}
	for range 64 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			if key, err := c.Get(t.Context(), "a", "", now, find); key != "key1" || err != nil {
				t.Errorf("%q, %v", key, err)
			}
		}()
	}
	close(gate)
	wg.Wait()
	want := func(stamp, want string) {
		t.Helper()
		if key, err := c.Get(t.Context(), "a", stamp, now, find); key != want || err != nil {
			t.Errorf("%q, %v, want %q", key, err, want)
		}
	}
	want("", "key1")
	want("new", "key2") // the file has changed
	clock.Add(int64(Life/time.Second) - 1)
	want("new", "key2")
	clock.Add(1)
	want("new", "key3") // its life is over
	c.Forget("a", "key2")
	want("new", "key3") // another call's old key says nothing of it
	c.Forget("a", "key3")
	want("new", "key4")

	fails := func(context.Context) (string, error) { looks.Add(1); return "", errors.New("no") }
	before := looks.Load()
	for range 3 {
		if _, err := c.Get(t.Context(), "b", "", now, fails); err == nil {
			t.Error("no error")
		}
	}
	clock.Add(3)
	_, _ = c.Get(t.Context(), "b", "", now, fails)
	if n := looks.Load() - before; n != 2 {
		t.Errorf("a vault that fails was asked %d times", n)
	}
}
