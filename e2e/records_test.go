package e2e

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Every type of record that the program writes stands in the document of the
// format.
func TestEveryRecordTypeIsDocumented(t *testing.T) {
	doc, err := os.ReadFile("../docs/formats/record.md")
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile(`Type:\s+"([a-z]+\.[a-z_-]+)"|record\("([a-z]+\.[a-z_-]+)"|base\("([a-z]+\.[a-z_-]+)"|EventKind = "([a-z-]+)"`)
	found := 0
	for _, room := range []string{"cmd", "gate", "gateway", "ledger", "workspace"} {
		err := filepath.WalkDir("../"+room, func(path string, d os.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			src, err := os.ReadFile(path)
			for _, m := range named.FindAllStringSubmatch(string(src), -1) {
				typ := m[1] + m[2] + m[3]
				if m[4] != "" {
					typ = "workspace." + m[4]
				}
				found++
				if !strings.Contains(string(doc), "`"+typ+"`") {
					t.Errorf("%s writes %s, which docs/formats/record.md does not name", path, typ)
				}
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if found < 20 {
		t.Errorf("only %d types found: the search misses some", found)
	}
}
