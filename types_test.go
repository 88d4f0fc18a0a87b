package countersign_test

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/countersign/countersign"
	"github.com/google/go-cmp/cmp"
)

// The types that a reader may ask for are those that the format describes.
func TestRecordTypesAreTheDocumentedOnes(t *testing.T) {
	src, err := os.ReadFile("docs/formats/record.md")
	if err != nil {
		t.Fatal(err)
	}
	_, tables, _ := strings.Cut(string(src), "## Types")
	var documented []string
	for line := range strings.Lines(tables) {
		if cells := strings.SplitN(line, "|", 3); len(cells) == 3 && cells[0] == "" {
			for _, m := range regexp.MustCompile("`([a-z]+\\.[a-z_-]+)`").FindAllStringSubmatch(cells[1], -1) {
				documented = append(documented, m[1])
			}
		}
	}
	slices.Sort(documented)
	if diff := cmp.Diff(slices.Compact(documented), countersign.RecordTypes()); diff != "" {
		t.Errorf("documented, known: %s", diff)
	}
}
