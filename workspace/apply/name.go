package apply

import (
	"encoding/hex"
	"encoding/json"
	"unicode/utf8"
)

// Name is a path in a JSON file: a string, or {"hex": "…"} where its bytes are
// not valid UTF-8, so that no two paths ever look the same.
type Name string

type hexName struct {
	Hex string `json:"hex"`
}

// MarshalJSON implements json.Marshaler.
func (n Name) MarshalJSON() ([]byte, error) {
	if utf8.ValidString(string(n)) {
		return json.Marshal(string(n))
	}
	return json.Marshal(hexName{hex.EncodeToString([]byte(n))})
}

// UnmarshalJSON implements json.Unmarshaler.
func (n *Name) UnmarshalJSON(b []byte) error {
	var s string
	if len(b) > 0 && b[0] == '"' {
		err := json.Unmarshal(b, &s)
		*n = Name(s)
		return err
	}
	var h hexName
	if err := json.Unmarshal(b, &h); err != nil {
		return err
	}
	raw, err := hex.DecodeString(h.Hex)
	*n = Name(raw)
	return err
}
