package mask

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"net/url"
	"strings"
	"testing"
)

// value is an address with a password, as a database has one.
func value() string { return "postgres://app:" + strings.Repeat("Zq9/", 4) + "x@db.internal/main" }

func TestFormsAreCovered(t *testing.T) {
	var m Mask
	if !m.Add("DB", value()) {
		t.Fatal("not taken")
	}
	for name, form := range map[string]string{
		"plain": value(), "password": strings.Repeat("Zq9/", 4) + "x", "hex": hex.EncodeToString([]byte(value())), "url": url.QueryEscape(value()),
		"base64": base64.StdEncoding.EncodeToString([]byte(value()))[:40], "json": strings.ReplaceAll(value(), "/", "/"),
	} {
		text := "before " + form + " after"
		got := m.String(text)
		if name == "base64" { // a part is no value: the whole is
			got = m.String(base64.StdEncoding.EncodeToString([]byte("xx" + value() + "yy")))
			if !strings.Contains(got, "‹lent DB›") {
				t.Errorf("base64: %q", got)
			}
			continue
		}
		if strings.Contains(got, form) || !strings.HasPrefix(got, "before ") || !strings.HasSuffix(got, " after") {
			t.Errorf("%s: %q", name, got)
		}
	}
}

func TestShortValuesAreNotTaken(t *testing.T) {
	var m Mask
	if m.Add("X", "1234567") {
		t.Error("taken")
	}
	if got := m.String("1234567"); got != "1234567" {
		t.Error(got)
	}
}

// However a text is cut into writes, what comes out is what String makes of it.
func FuzzStreamIsString(f *testing.F) {
	f.Add("abababab", []byte("xxababababab yy ababa"), uint8(3))
	f.Add("s3cr3t-value", []byte("the s3cr3t-value s3cr3t-valus s3cr3t-s3cr3t-value"), uint8(1))
	f.Fuzz(func(t *testing.T, value string, text []byte, step uint8) {
		var m Mask
		if !m.Add("V", value) {
			return
		}
		var out bytes.Buffer
		w := m.NewWriter(&out)
		for rest := text; len(rest) > 0; {
			n := min(int(step)%7+1, len(rest))
			if _, err := w.Write(rest[:n]); err != nil {
				t.Fatal(err)
			}
			rest = rest[n:]
		}
		if err := w.Flush(); err != nil {
			t.Fatal(err)
		}
		if got, want := out.String(), m.String(string(text)); got != want {
			t.Errorf("%q, want %q", got, want)
		}
		if m.Any(strings.ReplaceAll(out.String(), "‹lent V›", "\x00")) {
			t.Errorf("a value came through: %q", out.String())
		}
	})
}

// What can be no value is let go at once: a prompt waits for nobody.
func TestPromptIsNotHeld(t *testing.T) {
	var m Mask
	m.Add("V", "s3cr3t-value")
	var out bytes.Buffer
	w := m.NewWriter(&out)
	_, _ = w.Write([]byte("name? "))
	if out.String() != "name? " {
		t.Errorf("%q", out.String())
	}
}
