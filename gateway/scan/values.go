package scan

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"unicode/utf8"

	"github.com/countersign/countersign/internal/lazyre"
)

// MaxFile bounds a file whose content is taught, in bytes.
const MaxFile = 256 << 10

// Values returns what of a file is secret enough to be looked for elsewhere: the
// values of assignments, passwords in addresses, words that no other text has by
// chance (each line of a key is one), and a small file as a whole. Words, numbers,
// names and addresses without a password are left out, as they stand everywhere.
func Values(content []byte) []string {
	if len(content) > MaxFile || !utf8.Valid(content) || strings.IndexByte(string(content), 0) >= 0 {
		return nil
	}
	v := values{seen: map[string]bool{}}
	text := string(content)
	if n := strings.Count(strings.TrimSpace(text), "\n"); n > 0 && len(text) <= maxWhole && len(text) > 16*n {
		v.add(text, true)
	}
	v.strings(content)
	for _, line := range strings.Split(text, "\n") {
		v.line(strings.TrimSpace(line))
	}
	return v.out
}

// maxWhole bounds a file that is looked for as a whole.
const maxWhole = 4 << 10

type values struct {
	out  []string
	seen map[string]bool
}

// add takes what is telling: named says that its name promises a secret.
func (v *values) add(s string, named bool) {
	if s = strings.TrimSpace(s); !v.seen[s] && telling(s, named) {
		v.seen[s] = true
		v.out = append(v.out, s)
	}
}

// line takes what one line tells; a value that was commented out is often as good
// as one that was not.
func (v *values) line(line string) {
	bare := strings.TrimSpace(strings.TrimLeft(line, "#;/ "))
	if m := assignment().FindStringSubmatch(bare); m != nil {
		value := m[2]
		if end := strings.LastIndexByte(value, value[0]); (value[0] == '"' || value[0] == '\'') && end > 0 {
			value = value[1:end]
		} else if cut, _, ok := strings.Cut(value, " #"); ok {
			value = cut
		}
		v.add(value, secretName().MatchString(m[1]))
	}
	for _, m := range password().FindAllStringSubmatch(bare, -1) {
		v.add(m[1]+m[2], true)
	}
	if parts := strings.Split(line, ":"); len(parts) > 1 && !strings.Contains(line, "//") && !strings.Contains(line, " ") {
		v.add(parts[len(parts)-1], len(parts) == 5) // HOST:PORT:DATABASE:USER:PASSWORD
	}
	for _, word := range strings.FieldsFunc(line, func(r rune) bool { return strings.ContainsRune(" \t\"',;=<>(){}[]", r) }) {
		v.add(word, false)
		if pad := strings.TrimRight(word, "="); pad != word {
			v.add(pad, false)
		}
	}
}

// strings takes the strings of a file that is JSON.
func (v *values) strings(content []byte) {
	var root any
	if json.Unmarshal(content, &root) != nil {
		return
	}
	var walk func(name string, x any)
	walk = func(name string, x any) {
		switch x := x.(type) {
		case map[string]any:
			for k, val := range x {
				walk(k, val)
			}
		case []any:
			for _, val := range x {
				walk(name, val)
			}
		case string:
			v.add(x, secretName().MatchString(name))
			for _, line := range strings.Split(x, "\n") { // of a key with its line ends
				v.line(line)
			}
			if b, err := base64.StdEncoding.DecodeString(x); err == nil && name == "auth" { // of a registry
				_, pw, _ := strings.Cut(string(b), ":")
				v.add(pw, true)
			}
		}
	}
	walk("", root)
}

var (
	assignment = lazyre.Compile(`^(?:export\s+|-\s+)?["']?(?:[^\s"'=]*[:/])?([A-Za-z_][\w.-]*)["']?\s*[=:]\s*(\S.*?),?$`)
	secretName = lazyre.Compile(`(?i)secret|token|passw|pwd|key|cred|auth|private|salt|dsn|cert|sign|access|session|licen[sc]e`)
	password   = lazyre.Compile(`://[^/\s:@]*:([^/\s@]+)@|(?i:\bpassword\s+)(\S+)`)
	wordy      = lazyre.Compile(`^[A-Za-z]+$|^[a-z]+(?:[-_ .][a-z]+)*$|^[\d.,:/ -]+$|^[A-Z_]+$`)
	address    = lazyre.Compile(`(?i)^[a-z][a-z0-9+.-]*://[^/\s@]*(?:/\S*)?$|^[a-z][a-z.-]*:\d+$|^\S+@[a-z0-9.-]+\.[a-z]+$`)
	pathLike   = lazyre.Compile(`^[~.]?/[\w./-]*$|^[\w.-]+(?:/[\w.-]+)+$`)
)

// telling reports whether a value is worth knowing.
func telling(s string, named bool) bool {
	significant := len(s) - strings.Count(s, " ") - strings.Count(s, "\t") - strings.Count(s, "\n")
	switch {
	case significant < minKnown || len(s) > maxKnown:
		return false
	case strings.HasPrefix(s, "$") || strings.HasPrefix(s, "{{"):
		return false // names a value that is kept elsewhere
	case named:
		return entropy(s) >= 2 && !address().MatchString(s) && !examples().MatchString(s)
	case significant < 16 || strings.HasPrefix(s, "--") || wordy().MatchString(s) || address().MatchString(s) || pathLike().MatchString(s) && changes(s) < len(s)/3:
		return false
	}
	return strings.ContainsAny(s, "0123456789") && entropy(s) >= 3.2 && 10*changes(s) >= 3*len(s)
}

// changes counts where small letters, capitals, digits and the rest meet: names
// have few of these places, keys have many.
func changes(s string) (n int) {
	class := func(c byte) int {
		switch {
		case c >= 'a' && c <= 'z':
			return 0
		case c >= 'A' && c <= 'Z':
			return 1
		case c >= '0' && c <= '9':
			return 2
		}
		return 3
	}
	for i := 1; i < len(s); i++ {
		if class(s[i]) != class(s[i-1]) {
			n++
		}
	}
	return n
}

// examples are what stands in a secret's place, or says that there is none.
var examples = lazyre.Compile(`(?i)^(?:<.*>|your[-_ ].*|change[-_ ]?me.*|change[-_ ]?it|replace[-_ ].*|example.*|password|x+|\*+|\.+|none|null|undefined|disabled|required|optional|localhost|production|development|true|false)$`)
