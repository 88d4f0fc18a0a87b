package survey

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/countersign/countersign/workspace/layer"
)

func TestNamesRememberInodes(t *testing.T) {
	dir := t.TempDir()
	real, err := layer.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer real.Close()
	n := NewNames(real, func(rel string) (string, bool) {
		return "r", strings.HasSuffix(rel, ".pem") || strings.HasSuffix(rel, "/secrets") || strings.HasSuffix(rel, ".aws/")
	})
	at := func(rel string) string { return filepath.Join(dir, rel) }
	must := func(errs ...error) {
		t.Helper()
		for _, err := range errs {
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	write := func(rel string) error { return os.WriteFile(at(rel), []byte(rel), 0o600) }
	rename := func(from, to string) error { return os.Rename(at(from), at(to)) }
	mkdir := func(rel string) error { return os.Mkdir(at(rel), 0o700) }
	look := func(rel string) *layer.Item {
		t.Helper()
		st, err := real.Lstat(rel)
		if err != nil {
			t.Fatal(err)
		}
		return &layer.Item{Rel: rel, St: st}
	}
	check := func(rel, alias string, want bool) {
		t.Helper()
		rule, of, denied := n.Denied(look(rel))
		if denied != want || of != alias || denied && rule != "r" {
			t.Errorf("%s: rule %q, alias %q, denied %t", rel, rule, of, denied)
		}
	}
	must(write("server.pem"), write("plain.txt"), mkdir(".aws"), mkdir("x"), mkdir("x/secrets"))
	for _, rel := range []string{"server.pem", ".aws"} {
		n.Remember(look(rel), rel, "r")
	}
	check("server.pem", "", true)
	check(".aws", "", true)
	check("plain.txt", "", false)
	check("x/secrets", "", false) // a directory: its path ends in a slash
	must(rename("server.pem", "notes.txt"), write("server.pem"), rename(".aws", "docs"))
	n.Remember(look("server.pem"), "server.pem", "r")
	check("notes.txt", "server.pem", true)
	check("docs", ".aws", true)
	check("server.pem", "", true)
	n.Remember(look("notes.txt"), "notes.txt", "r") // as every name that is carried is
	check("notes.txt", "server.pem", true)

	// An inode number that is given out again is another file's.
	if id, born := real.Born("notes.txt"); born == 0 {
		t.Skip("the file system tells no birth")
	} else {
		n.known[id] = secret{rel: "server.pem", rule: "r", born: born - 1}
	}
	check("notes.txt", "", false)
}
