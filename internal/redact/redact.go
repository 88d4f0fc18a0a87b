// Package redact replaces secrets in command lines and addresses by typed
// markers before anything is written down, and says where they stand in a line
// that a terminal shows.
//
// It promises that what it marks is gone from its result, and that it marks the
// same input in the same way. It is a net with known meshes: what looks like no
// secret passes. It touches nothing, and must never see the payload of a model's
// request or answer: those are gateway/scan's.
package redact

import (
	"strings"

	"github.com/countersign/countersign/internal/lazyre"
)

// Marker stands where a secret stood.
const Marker = "‹secret›"

var (
	flagValue = lazyre.Compile(`(?i)^(--?[a-z0-9_-]*(?:password|passwd|secret|token|api-?key|apikey|access-?key|credential)[a-z0-9_-]*=)(.+)$`)
	flagAlone = lazyre.Compile(`(?i)^--?[a-z0-9_-]*(?:password|passwd|secret|token|api-?key|apikey|access-?key|credential)[a-z0-9_-]*$`)
	assign    = lazyre.Compile(`(?i)\b([A-Z0-9_]*(?:PASSWORD|PASSWD|SECRET|TOKEN|API_?KEY|ACCESS_?KEY|CREDENTIALS?)[A-Z0-9_]*=)([^\s'"]+)`)
	userinfo  = lazyre.Compile(`([a-z][a-z0-9+.-]*://[^/\s:@]*:)([^/\s@]+)(@)`)
	header    = lazyre.Compile(`(?i)((?:authorization|x-api-key|api-key|x-goog-api-key|cookie)\s*:\s*)(\S.*)`)
	wellKnown = lazyre.Compile(`\b(?:sk-[A-Za-z0-9_-]{16,}|gh[pousr]_[A-Za-z0-9]{20,}|github_pat_[A-Za-z0-9_]{20,}|AKIA[0-9A-Z]{16}|xox[baprs]-[A-Za-z0-9-]{10,}|AIza[0-9A-Za-z_-]{30,}|glpat-[A-Za-z0-9_-]{16,}|eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{5,})`)
)

// Arg returns the argument with its secrets marked, and whether it had any.
func Arg(s string) (string, bool) {
	out := s
	if name, value, found := strings.Cut(s, "="); found {
		if counts(name, value) {
			return s, false
		}
		if out = flagValue().ReplaceAllString(s, "${1}"+Marker); out == s {
			out = assign().ReplaceAllString(out, "${1}"+Marker)
		}
	}
	if strings.Contains(out, "://") {
		out = userinfo().ReplaceAllString(out, "${1}"+Marker+"${3}")
	}
	if strings.Contains(out, ":") {
		out = header().ReplaceAllString(out, "${1}"+Marker)
	}
	if tokens(out) {
		out = wellKnown().ReplaceAllString(out, Marker)
	}
	return out, out != s
}

// tokens reports whether the beginning of a well-known token stands anywhere.
func tokens(s string) bool {
	for _, p := range []string{"sk-", "gh", "github_pat_", "AKIA", "xox", "AIza", "glpat-", "eyJ"} {
		if strings.Contains(s, p) {
			return true
		}
	}
	return false
}

// counts reports whether a name that says tokens has a number of them: a limit
// of a model, as in --max-tokens 4096.
func counts(name, value string) bool {
	return value != "" && len(value) < 10 && strings.Trim(value, "0123456789") == "" && strings.HasSuffix(strings.ToLower(name), "tokens")
}

// Secret reports whether the argument holds a secret.
func Secret(s string) bool {
	_, found := Arg(s)
	return found
}

// Argv returns a copy of argv with its secrets marked; the argument after a
// flag that names a secret is one.
func Argv(argv []string) []string {
	out := make([]string, len(argv))
	next := false
	for i, s := range argv {
		if next && !strings.HasPrefix(s, "-") && !counts(argv[i-1], s) {
			out[i], next = Marker, false
			continue
		}
		out[i], _ = Arg(s)
		next = strings.HasPrefix(s, "-") && flagAlone().MatchString(s)
	}
	return out
}
