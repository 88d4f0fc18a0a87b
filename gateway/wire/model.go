package wire

import (
	"strings"

	"github.com/countersign/countersign/internal/lazyre"
)

// version is what vendors put behind a model's name: -20250929, -2025-09-29,
// @20250929, -001, :latest.
var version = lazyre.Compile(`(?:[-@](?:\d{8}|\d{4}-\d{2}-\d{2}|\d{2}-\d{2}|\d{3}|\d{4}|latest)|:latest)$`)

// SameModel reports whether the model that was served is the one that was asked
// for: a version that only says more precisely which is the same.
func SameModel(asked, served string) bool {
	norm := func(s string) string {
		return version().ReplaceAllString(strings.TrimPrefix(strings.ToLower(s), "models/"), "")
	}
	a, s := strings.TrimPrefix(strings.ToLower(asked), "models/"), strings.TrimPrefix(strings.ToLower(served), "models/")
	// A version that was asked for must be the one that answers.
	if a == s || a == norm(s) {
		return true
	}
	return norm(a) == norm(s) && (strings.HasSuffix(a, "-latest") || strings.HasSuffix(a, ":latest"))
}
