package gittext

import (
	"context"
	"errors"
	"os"
	"testing"

	"github.com/countersign/countersign/internal/gitkeys"
)

// TestWhatIsTakenIsInert holds whatever bytes an agent might rename over its
// configuration to what git reads in them.
func TestWhatIsTakenIsInert(t *testing.T) {
	ctx := context.Background()
	pieces := []string{
		"[core]", "[CORE]\n", "[branch \"a\"]\n", "[branch \"a\\\"b\"]\n", "[include]\n", "[core \"x\"]", "fsmonitor", "\tfsmonitor = evil\n", "path=/x\n", "bare = false\n",
		"description = \"", "x\\n", "\\\n", "\"\n", "# ", "; ", "\n", "\r\n", "\x00", "=", "]", "\\", "[remote \"o\"]\nurl=", "ext::sh\n", "https://a:b@c/\n", "https://c/\n",
	}
	k := New(t.TempDir())
	k.Add("/p/.git", "0")
	if err := k.Put("/p/.git/config", nil); err != nil {
		t.Fatal(err)
	}
	seed, taken, n := uint32(1), 0, 300
	if testing.Short() {
		n = 60
	}
	for range n {
		text := ""
		for range 3 + seed%7 {
			seed = seed*1664525 + 1013904223
			text += pieces[(seed>>16)%uint32(len(pieces))]
		}
		if k.Rewrite(ctx, "/p/.git/config", []byte(text)) != nil {
			continue
		}
		taken++
		if b, err := k.Read("/p/.git/config"); err != nil || string(b) != text {
			t.Fatalf("%q became %q (%v)", text, b, err)
		}
		all, err := k.Settings(ctx, "/p/.git/config")
		if _, refused := gitkeys.Clean(all); err != nil || len(refused) > 0 {
			t.Fatalf("%q was taken: %v %v", text, refused, err)
		}
	}
	if taken == 0 || taken == n {
		t.Errorf("%d of %d taken: the test tries nothing", taken, n)
	}
}

// TestNothingIsKeptThatIsNotShown, and what is forgotten is not there.
func TestNothingIsKeptThatIsNotShown(t *testing.T) {
	ctx, at := context.Background(), "/p/.git/config"
	k := New(t.TempDir())
	k.Add("/p/.git", "0")
	for _, name := range Names {
		if err := k.Put("/p/.git/"+name, []byte("[user]\n")); err != nil {
			t.Fatal(err)
		}
	}
	no := errors.New("no")
	k.Serve(func(string, []byte) error { return no })
	if err := k.Rewrite(ctx, at, []byte("[user]\nname=a\n")); !errors.Is(err, no) {
		t.Errorf("%v", err)
	}
	all, err := k.All()
	if err != nil || len(all) != 3 || string(all[0].Content) != "[user]\n" || all[0].Fixed || !all[2].Fixed {
		t.Errorf("%+v %v", all, err)
	}
	if err := k.Forget("/p/.git"); err != nil {
		t.Fatal(err)
	}
	if _, err := k.Read(at); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("still there: %v", err)
	}
}
