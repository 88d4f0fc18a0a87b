package card

import (
	"encoding/base64"
	"encoding/hex"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/countersign/countersign/internal/lazyre"
)

var (
	encoded = lazyre.Compile(`[A-Za-z0-9+/_-]{24,}={0,2}`)
	evals   = lazyre.Compile(`\beval\b`)
	opaque  = lazyre.Compile(`\bbase64\s+(-d|-D|--decode)\b|\bxxd\s+-r|\|\s*(/\S*/)?(ba|da|z|k)?sh\b|\|\s*(/\S*/)?(python|perl|node|ruby)[0-9.]*\s*(-\s*)?($|[;&|\n])|/dev/stdin|<\(`)
)

// maxLayers bounds how many decoded pieces of one text are shown.
const maxLayers = 8

// layers shows what an encoded piece of a text says, one level deep, and warns
// where a text makes a program while it runs; literal says that whatever it
// evaluates stands in it. Both are reading aids.
func (p *page) layers(text string, shell, literal bool) {
	for _, piece := range encoded().FindAllString(text, maxLayers) {
		plain, ok := decode(piece)
		if !ok {
			continue
		}
		p.put(Dim, "    decoded (a reading aid): "+p.clean(piece))
		for _, line := range strings.Split(plain, "\n") {
			p.put(Dim, "    : "+p.text(line))
		}
	}
	if shell && (opaque().MatchString(text) || !literal && evals().MatchString(text)) {
		p.put(Warn, "WARNING: runs text that is made while it runs and is not on this card")
	}
}

// decode takes hexadecimal and both base64 alphabets, and believes only what
// turns out to be text.
func decode(s string) (string, bool) {
	bare := strings.TrimRight(s, "=")
	for _, try := range []func(string) ([]byte, error){hex.DecodeString, base64.RawStdEncoding.DecodeString, base64.RawURLEncoding.DecodeString} {
		b, err := try(bare)
		if err == nil && isText(b) {
			return strings.TrimSuffix(string(b), "\n"), true
		}
	}
	return "", false
}

func isText(b []byte) bool {
	if !utf8.Valid(b) {
		return false
	}
	for _, r := range string(b) {
		if !unicode.IsPrint(r) && r != '\n' && r != '\t' && r != '\r' {
			return false
		}
	}
	return true
}
