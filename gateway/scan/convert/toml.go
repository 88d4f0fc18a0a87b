package main

import (
	"fmt"
	"strconv"
	"strings"
)

// table is one [table] or [[table]] with its fields: string, float64 or
// []string.
type table struct {
	name   string
	line   int
	fields map[string]any
}

// parse reads the subset of TOML 1.0 that the generated file uses: tables,
// comments on their own lines, basic and literal strings, numbers, arrays of
// strings.
func parse(src string) ([]table, error) {
	out := []table{{fields: map[string]any{}}}
	lines := strings.Split(src, "\n")
	for i := 0; i < len(lines); i++ {
		l := strings.TrimSpace(lines[i])
		if l == "" || l[0] == '#' {
			continue
		}
		if l[0] == '[' {
			out = append(out, table{strings.Trim(l, "[]"), i + 1, map[string]any{}})
			continue
		}
		key, rest, ok := strings.Cut(l, " = ")
		if !ok {
			return nil, fmt.Errorf("line %d: no field", i+1)
		}
		at := i
		for rest[0] == '[' && !strings.HasSuffix(rest, "]") && i+1 < len(lines) {
			i++
			if l := strings.TrimSpace(lines[i]); !strings.HasPrefix(l, "#") {
				rest += l
			}
		}
		v, err := value(rest)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", at+1, err)
		}
		fields := out[len(out)-1].fields
		if _, twice := fields[key]; twice {
			return nil, fmt.Errorf("line %d: %s twice", at+1, key)
		}
		fields[key] = v
	}
	return out, nil
}

func value(s string) (any, error) {
	if s[0] != '[' {
		if s[0] == '"' || s[0] == '\'' {
			v, rest, err := text(s)
			if err == nil && rest != "" {
				err = fmt.Errorf("%q after a string", rest)
			}
			return v, err
		}
		return strconv.ParseFloat(s, 64)
	}
	out := []string{}
	for s = s[1:]; s != "]"; s = strings.TrimLeft(s, ", ") {
		v, rest, err := text(s)
		if err != nil {
			return nil, err
		}
		out, s = append(out, v), rest
	}
	return out, nil
}

func text(s string) (v, rest string, err error) {
	for _, q := range []string{`'''`, `'`} {
		if body, ok := strings.CutPrefix(s, q); ok {
			v, rest, ok = strings.Cut(body, q)
			if !ok {
				return "", "", fmt.Errorf("%s without an end", q)
			}
			return v, rest, nil
		}
	}
	q, err := strconv.QuotedPrefix(s)
	if err != nil || q[0] != '"' {
		return "", "", fmt.Errorf("no string: %.20s", s)
	}
	v, err = strconv.Unquote(q)
	return v, s[len(q):], err
}
