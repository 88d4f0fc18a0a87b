package book

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	countersign "github.com/countersign/countersign"
	"github.com/countersign/countersign/ledger/segment"
)

func TestBodyCannotSayWhatTheLedgerSays(t *testing.T) {
	for body, good := range map[string]bool{
		`"type":"x"}`:                           true,
		`"type":"x","detail":{"seq":9,"t":[]}}`: true,
		`"type":"x","seq":9}`:                   false,
		`"SEQ":9}`:                              false,
		`"\u0073eq":9}`:                         false,
		`"type":"x","prev":"sha256:00"}`:        false,
		`"a":"},\"seq\":9"}`:                    true,
		`"a":1}{"b":2}`:                         false,
		`"a":1`:                                 false,
		`}`:                                     false,
		``:                                      false,
		`"":""} `:                               false,
		`"`:                                     false,
		"\"a\":\n1}":                            false,
		`"a":[{"id":1}],"node":2}`:              false,
	} {
		if err := checkBody([]byte(body)); (err == nil) != good {
			t.Errorf("%s: %v", body, err)
		}
	}
}

// Whatever a body holds, the record that comes of it has the ledger's own
// fields as the ledger wrote them.
func FuzzBody(f *testing.F) {
	f.Add([]byte(`"type":"x","detail":{"seq":9}}`))
	f.Add([]byte(`"\u0073eq":9}`))
	f.Add([]byte(`"t":{"wall":""},"V":2}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		if checkBody(body) != nil {
			return
		}
		l := segment.Leaf{ID: "i", Node: "n", Epoch: 7, Seq: 8, Wall: "w", Mono: 9}
		leaf := segment.AppendLeaf(nil, l, body)
		if _, _, err := segment.ParseLeaf(leaf); err != nil {
			t.Errorf("%s does not parse: %v", leaf, err)
		}
		var own struct {
			V     int
			ID    string
			Node  string
			Epoch uint64
			Seq   uint64
			T     countersign.Time
		}
		if err := json.Unmarshal(leaf, &own); err != nil || own.V != 1 || own.ID != "i" || own.Node != "n" || own.Epoch != 7 || own.Seq != 8 || own.T.Wall != "w" {
			t.Errorf("%s is read as %+v (%v)", leaf, own, err)
		}
	})
}

// What is taken for JSON is what encoding/json takes for it, of one line.
func FuzzJSON(f *testing.F) {
	for _, s := range []string{
		`"a":[1,-0,0.5,1e9,2E-3,{}],"b":{"c":null,"d":[true,false,[]]}}`, `"a":01}`, `"a":1.}`, `"a":-}`, `"a":1e+}`, `"a":"\ud834\u00e9\/"}`,
		`"a":"\x"}`, `"a":"\u12g4"}`, "\"a\":\"\x01\"}", "\"a\":\"\xff\"}", `"a" : [ 1 , 2 ] , "b":"" }`, `"a":1,}`, `"a":[,]}`, `"a":tru}`, `"a":nulll}`, `"a":{"b"}}`,
		`"a":[1}`, `"a":1]}`, `"a":1}}`, "\"a\":\u00a01}", `"a":` + strings.Repeat("[", 9999) + strings.Repeat("]", 9999) + `}`, `"a":` + strings.Repeat("[", 10000) + strings.Repeat("]", 10000) + `}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		want := len(body) > 1 && body[0] == '"' && body[len(body)-1] == '}' && bytes.IndexByte(body, '\n') < 0 && json.Valid(append([]byte{'{'}, body...))
		err := checkBody(body)
		if !want && err == nil || want && errors.Is(err, errBody) {
			t.Errorf("%q: %v, want JSON %v", body, err, want)
		}
	})
}
