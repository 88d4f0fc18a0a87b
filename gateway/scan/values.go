package scan

import (
	"encoding/base64"
	"encoding/json"
	"regexp"
	"strings"
	"unicode/utf8"
)

// maxFile bounds a file whose content is taught.
const maxFile = 256 << 10

// Values returns what of a file is secret enough to be looked for elsewhere: the
// values of assignments, lines that no other text has by chance, and a small file
// as a whole. Words, numbers, addresses without a password and the like are left
// out, as they stand everywhere.
func Values(content []byte) []string {
	if len(content) > maxFile || !utf8.Valid(content) || strings.IndexByte(string(content), 0) >= 0 {
		return nil
	}
	var out []string
	seen := map[string]bool{}
	add := func(s string, named bool) {
		if s = strings.TrimSpace(s); telling(s, named) && !seen[s] {
			seen[s] = true
			out = append(out, s)
		}
	}
	text := string(content)
	if len(text) <= 4<<10 && strings.Count(strings.TrimSpace(text), "\n") > 0 {
		add(text, false)
	}
	eachString(content, add)
	for _, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		// A value that was commented out is often as good as one that was not.
		bare := strings.TrimSpace(strings.TrimLeft(line, "#;/ "))
		if m := assignment.FindStringSubmatch(bare); m != nil {
			value := m[2]
			if len(value) > 1 && (value[0] == '"' || value[0] == '\'') {
				if end := strings.LastIndexByte(value, value[0]); end > 0 {
					value = value[1:end]
				}
			} else if cut, _, ok := strings.Cut(value, " #"); ok {
				value = cut
			}
			named := secretName.MatchString(m[1])
			add(value, named)
			if pw := password.FindStringSubmatch(value); pw != nil {
				add(pw[1], true)
			}
			continue
		}
		if line == bare && !strings.HasPrefix(line, "-----") {
			add(line, false)
		}
	}
	return out
}

var (
	assignment = regexp.MustCompile(`^(?:export\s+)?["']?([A-Za-z_][\w.-]*)["']?\s*[=:]\s*(\S.*?),?$`)
	secretName = regexp.MustCompile(`(?i)secret|token|passw|pwd|key|cred|auth|private|salt|dsn|cert|sign|access|session|license`)
	password   = regexp.MustCompile(`://[^/\s:@]*:([^/\s@]+)@`)
	wordy      = regexp.MustCompile(`^[A-Za-z]+$|^[a-z]+(?:[-_ .][a-z]+)*$|^[\d.,:/ -]+$`)
	address    = regexp.MustCompile(`(?i)^[a-z][a-z0-9+.-]*://[^/\s@]*(?:/\S*)?$`)
	pathLike   = regexp.MustCompile(`^[~.]?/[\w./-]*$|^[\w.-]+(?:/[\w.-]+)+$|^[a-z][a-z.-]*:\d+$`)
)

// telling reports whether a value is worth knowing: named says that its name
// promises a secret.
func telling(s string, named bool) bool {
	significant := len(s) - strings.Count(s, " ") - strings.Count(s, "\t") - strings.Count(s, "\n")
	if significant < minKnown || len(s) > maxKnown {
		return false
	}
	if strings.HasPrefix(s, "$") || strings.HasPrefix(s, "<") || strings.HasPrefix(s, "{{") {
		return false // names a value kept elsewhere
	}
	if named {
		return entropy(s) >= 2 && !address.MatchString(s) && !placeholders.MatchString(s)
	}
	if wordy.MatchString(s) || address.MatchString(s) || pathLike.MatchString(s) || strings.HasPrefix(s, "-----") {
		return false
	}
	digits := strings.ContainsAny(s, "0123456789")
	return entropy(s) >= 3 && (digits && significant >= 12 || significant >= 20 && !strings.Contains(s, " ") || significant >= 32 && digits)
}

// placeholders are what examples put in a secret's place.
var placeholders = regexp.MustCompile(`(?i)^(?:<.*>|your[-_ ].*|change[-_ ]?me.*|change[-_ ]?it|replace[-_ ].*|example.*|password|x+|\*+|\.+|none|null|undefined|disabled|required|optional|localhost|production|development|true|false)$`)

// eachString calls add for the strings of a JSON file.
func eachString(content []byte, add func(s string, named bool)) {
	var v any
	if json.Unmarshal(content, &v) != nil {
		return
	}
	var walk func(name string, v any)
	walk = func(name string, v any) {
		switch v := v.(type) {
		case map[string]any:
			for k, val := range v {
				walk(k, val)
			}
		case []any:
			for _, val := range v {
				walk(name, val)
			}
		case string:
			add(v, secretName.MatchString(name))
			for _, line := range strings.Split(v, "\n") { // a key with its line ends
				add(line, false)
			}
			if name == "auth" { // of a registry: user and password in base64
				if b, err := base64.StdEncoding.DecodeString(v); err == nil {
					if _, pw, ok := strings.Cut(string(b), ":"); ok {
						add(pw, true)
					}
				}
			}
		}
	}
	walk("", v)
}
