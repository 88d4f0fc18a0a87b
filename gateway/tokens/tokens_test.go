package tokens

import (
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	countersign "github.com/countersign/countersign"
)

func TestTokenIsGoodUntilItIsRevoked(t *testing.T) {
	path := filepath.Join(t.TempDir(), "gateway", "tokens.json")
	here, there := Open(path, time.Now), Open(path, time.Now)
	if _, ok := there.Find("cs-none"); ok {
		t.Error("a token of nobody is good")
	}
	token, err := here.Issue(t.Context(), Token{Name: "ci", User: "u", Project: "p"}, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if got, ok := there.Find(token); !ok || got.Name != "ci" || got.User != "u" || got.Project != "p" {
		t.Errorf("in another process: %+v %v", got, ok)
	}
	if _, ok := there.Find(token + "0"); ok {
		t.Error("a longer one is good")
	}
	b, err := os.ReadFile(path)
	if err != nil || strings.Contains(string(b), token[3:]) {
		t.Errorf("the token itself is on disk: %v", err)
	}
	if st, _ := os.Stat(path); st.Mode().Perm() != 0o600 {
		t.Errorf("mode %v", st.Mode())
	}
	if _, err := here.Issue(t.Context(), Token{Name: "ci"}, rand.Reader); countersign.CodeOf(err) != countersign.EInvalid {
		t.Errorf("the name is given twice: %v", err)
	}
	if err := here.Revoke(t.Context(), "ci"); err != nil {
		t.Fatal(err)
	}
	if _, ok := there.Find(token); ok {
		t.Error("good after it was revoked")
	}
	if err := here.Revoke(t.Context(), "ci"); countersign.CodeOf(err) != countersign.ENotFound {
		t.Errorf("revoked twice: %v", err)
	}
}

func TestExpiredIsNoToken(t *testing.T) {
	now := time.Now()
	s := Open(filepath.Join(t.TempDir(), "t"), func() time.Time { return now })
	token, err := s.Issue(t.Context(), Token{Name: "a", Expires: now.Add(time.Minute)}, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := s.Find(token); !ok {
		t.Error("not good before its end")
	}
	now = now.Add(time.Minute)
	if _, ok := s.Find(token); ok {
		t.Error("good at its end")
	}
}

func TestUnreadableFileLetsNobodyIn(t *testing.T) {
	path := filepath.Join(t.TempDir(), "t")
	s := Open(path, time.Now)
	token, err := s.Issue(t.Context(), Token{Name: "a"}, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := s.Find(token); !ok {
		t.Fatal("not good")
	}
	for _, content := range []string{`{"version":1,"tok`, `{"version":2,"tokens":[]}`} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, ok := s.Find(token); ok || s.Err() == nil {
			t.Errorf("%s: let in, %v", content, s.Err())
		}
		if _, err := s.Issue(t.Context(), Token{Name: "b"}, rand.Reader); countersign.CodeOf(err) != countersign.EInvalid {
			t.Errorf("%s: written over: %v", content, err)
		}
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if _, ok := s.Find(token); ok {
		t.Error("good without a file")
	}
}

func TestWritersLoseNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "t")
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			s := Open(path, time.Now)
			token, err := s.Issue(t.Context(), Token{Name: fmt.Sprint("n", i)}, rand.Reader)
			if err != nil {
				t.Error(err)
			} else if got, ok := s.Find(token); !ok || got.Name != fmt.Sprint("n", i) {
				t.Errorf("%+v", got)
			}
		})
	}
	wg.Wait()
	if all, err := Open(path, time.Now).List(); err != nil || len(all) != 16 {
		t.Errorf("%d kept, %v", len(all), err)
	}
}

func TestNamesAreChecked(t *testing.T) {
	s := Open(filepath.Join(t.TempDir(), "t"), time.Now)
	for _, tok := range []Token{{Name: ""}, {Name: "a b"}, {Name: "-a"}, {Name: strings.Repeat("a", 65)}, {Name: "a", User: "x\ny"}, {Name: "a", Project: strings.Repeat("p", 129)}} {
		if _, err := s.Issue(t.Context(), tok, rand.Reader); countersign.CodeOf(err) != countersign.EUsage {
			t.Errorf("%+v: %v", tok, err)
		}
	}
}
