package book

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
)

// own are the fields that only the ledger writes. encoding/json matches names
// without regard to case, so a body that could be read as carrying one in any
// spelling is refused.
var own = []string{"v", "id", "node", "epoch", "seq", "prev", "t"}

var errBody = errors.New("the record is not one JSON object")

// checkBody takes the rest of an object, `"type":…}`, and refuses what is not
// that, or what would say twice what the ledger says.
func checkBody(body []byte) error {
	if len(body) < 2 || body[0] != '"' || body[len(body)-1] != '}' || bytes.IndexByte(body, '\n') >= 0 {
		return errBody
	}
	if !json.Valid(append([]byte{'{'}, body...)) {
		return errBody
	}
	depth, key := 1, true
	for i := 0; i < len(body); i++ {
		switch body[i] {
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		case ',':
			key = depth == 1
		case '"':
			end := closing(body, i+1)
			if key && depth == 1 {
				if err := checkKey(string(body[i+1 : end])); err != nil {
					return err
				}
				key = false
			}
			i = end
		}
	}
	return nil
}

// closing returns the index of the quote that ends the string at i.
func closing(b []byte, i int) int {
	for b[i] != '"' {
		if b[i] == '\\' {
			i++
		}
		i++
	}
	return i
}

func checkKey(k string) error {
	if strings.ContainsRune(k, '\\') {
		return errors.New("a field's name is written with escapes")
	}
	for _, o := range own {
		if strings.EqualFold(k, o) {
			return errors.New("the field " + k + " is the ledger's own")
		}
	}
	return nil
}
