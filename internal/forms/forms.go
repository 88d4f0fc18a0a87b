// Package forms says how programs write a value: as it is, and in the encodings
// that they commonly put it into.
//
// It promises the same forms for the same value. It touches nothing.
package forms

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"net/url"
	"strings"
)

// Of calls add with a value and the ways in which programs write it, some more
// than once; via names the way, empty for the value itself. What stands in a longer
// base64 text depends on where it begins there.
func Of(s string, add func(form, via string)) {
	add(s, "")
	if b, err := json.Marshal(s); err == nil {
		add(string(b[1:len(b)-1]), "json")
	}
	for _, enc := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
		for shift, skip := range []int{0, 2, 3} {
			coded := enc.EncodeToString(append(make([]byte, shift), s...))
			add(coded[skip:(shift+len(s))*8/6], "base64")
		}
	}
	h := hex.EncodeToString([]byte(s))
	add(h, "hex")
	add(strings.ToUpper(h), "hex")
	add(url.QueryEscape(s), "url")
	add(url.PathEscape(s), "url")
}
