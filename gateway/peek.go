package gateway

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// peeked is what the gateway must know of a body. It is read in one pass that
// decodes nothing else, so that what is forwarded is what the agent wrote.
type peeked struct {
	model    string
	from, to int // byte range of the model's JSON string
	stream   bool
}

// peek reads model and stream. Where two readers could differ on what the model
// is (a key given twice or spelt otherwise, bytes after the end), it refuses.
func peek(body []byte) (peeked, error) {
	var p peeked
	dec := json.NewDecoder(bytes.NewReader(body))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return p, errors.New("the body is not a JSON object")
	}
	seen := map[string]bool{}
	for dec.More() {
		t, err := dec.Token()
		if err != nil {
			return p, errors.New("the body is not JSON")
		}
		key, _ := t.(string)
		var raw json.RawMessage
		if err := dec.Decode(&raw); err != nil {
			return p, errors.New("the body is not JSON")
		}
		name := strings.ToLower(key)
		if name != "model" && name != "stream" {
			continue
		}
		if seen[name] || name != key {
			return p, fmt.Errorf("the body says %q twice, or spells it otherwise", name)
		}
		seen[name] = true
		if name == "stream" {
			p.stream = string(raw) == "true"
			continue
		}
		if json.Unmarshal(raw, &p.model) != nil || p.model == "" || len(p.model) > 256 {
			return p, errors.New("the model is no name")
		}
		p.to = int(dec.InputOffset())
		p.from = p.to - len(raw)
	}
	if _, err := dec.Token(); err != nil {
		return p, errors.New("the body is not JSON")
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return p, errors.New("bytes after the end of the body")
	}
	if !seen["model"] {
		return p, errors.New("the body names no model")
	}
	return p, nil
}

// withModel returns the body with another model: every other byte stays.
func (p peeked) withModel(body []byte, model string) []byte {
	if model == p.model {
		return body
	}
	quoted, err := json.Marshal(model)
	if err != nil {
		return body // a string always marshals
	}
	out := make([]byte, 0, len(body)+len(quoted))
	out = append(out, body[:p.from]...)
	out = append(out, quoted...)
	return append(out, body[p.to:]...)
}
