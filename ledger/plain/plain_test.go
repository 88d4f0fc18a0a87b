package plain

import (
	"bytes"
	"encoding/json"
	"math/rand"
	"reflect"
	"strings"
	"testing"

	countersign "github.com/countersign/countersign"
)

// reference is what encoding/json makes of a record, from its type on.
func reference(t *testing.T, r countersign.Record) string {
	t.Helper()
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(r); err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(strings.TrimSpace(buf.String()), `"t":{"wall":"","mono_ns":0},`)
	if !ok {
		t.Fatalf("%.80s", buf.String())
	}
	return rest
}

// fill sets fields at random, those that the schema gets later included: one that
// known forgets makes the comparison fail.
func fill(rnd *rand.Rand, v reflect.Value) {
	if rnd.Intn(3) == 0 {
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(rnd, v.Elem())
	case reflect.Struct:
		for i := range v.NumField() {
			fill(rnd, v.Field(i))
		}
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			return
		}
		for range rnd.Intn(4) {
			one := reflect.New(v.Type().Elem()).Elem()
			fill(rnd, one)
			v.Set(reflect.Append(v, one))
		}
	case reflect.String:
		all := []string{"", "x", "/usr/bin/true", "a && <b> 'c'", "~", "sha256:00", " ", "a\"b", "\\", "é", "\x7f", "\xff", "\n", "\u2028"}
		if rnd.Intn(4) > 0 {
			all = all[:7]
		}
		v.SetString(all[rnd.Intn(len(all))])
	case reflect.Int, reflect.Int64:
		v.SetInt(rnd.Int63n(3) * rnd.Int63())
	case reflect.Uint64:
		v.SetUint(uint64(rnd.Int63n(3)) * rnd.Uint64())
	case reflect.Bool:
		v.SetBool(rnd.Intn(2) == 0)
	case reflect.Map:
		v.Set(reflect.ValueOf(detail(rnd)))
	}
}

// detail has values of every kind that a record's details have, and some that are
// left to encoding/json.
func detail(rnd *rand.Rand) map[string]any {
	of := []any{"x", "a <b> & c", "é", true, false, 0, -7, int64(1) << 40, map[string]string{"b": "2", "a": "1"}, map[string]string{}, map[string]int{"z": 1, "y": 2}, map[string]string(nil), nil, 1.5, []string{"l"}, map[string]any{"m": 1}}
	if rnd.Intn(8) > 0 {
		of = of[:10]
	}
	out := map[string]any{}
	for _, name := range []string{"b", "a", "client <x>", "aé", "z_z"}[:rnd.Intn(6)] {
		if name != "aé" || rnd.Intn(8) == 0 {
			out[name] = of[rnd.Intn(len(of))]
		}
	}
	return out
}

func TestBodyIsWhatEncodingJSONMakes(t *testing.T) {
	rnd := rand.New(rand.NewSource(1))
	met := 0
	for range 100_000 {
		var r countersign.Record
		v := reflect.ValueOf(&r).Elem()
		for i := 7; i < v.NumField(); i++ { // the first seven are the ledger's own
			f := v.Type().Field(i)
			switch f.Name {
			case "Payloads", "Turn", "Canary":
				if rnd.Intn(40) > 0 {
					continue
				}
			}
			fill(rnd, v.Field(i))
		}
		got, ok := known(nil, &r)
		if !ok {
			continue
		}
		met++
		if want := reference(t, r); string(got) != want {
			t.Fatalf("%s\n%s", got, want)
		}
	}
	if met < 5_000 {
		t.Errorf("only %d records were known", met)
	}
}

// What is not known is left alone, and what a covered exec has is known.
func TestBodyKnowsACoveredExec(t *testing.T) {
	r := countersign.Record{
		Type: "exec.decided", Session: "s", Parent: "p", Actor: &countersign.Actor{Kind: "agent", ID: "x", Peer: &countersign.Peer{PID: 1, Exe: "/bin/sh", Argv: []string{"sh"}}},
		Agent: &countersign.Agent{Name: "x"}, Action: &countersign.ActionRecord{Kind: countersign.KindExec, Argv: []string{"a", "b & c"}, Writable: true},
		Policy: &countersign.PolicyRecord{Bundle: "b"}, Decision: &countersign.DecisionRecord{Verdict: countersign.Allow, Basis: countersign.ByCover}, Cov: &countersign.Coverage{Tier: "A"},
	}
	if got, ok := known(nil, &r); !ok || string(got) != reference(t, r) {
		t.Errorf("%v %s", ok, got)
	}
	r.Detail = map[string]any{"count": 2.5}
	if _, ok := known(nil, &r); ok {
		t.Error("a detail was left out")
	}
}

func TestPayloadsAreWhatEncodingJSONMakes(t *testing.T) {
	rnd := rand.New(rand.NewSource(1))
	met := 0
	for range 10_000 {
		ps := []countersign.Payload{}
		for range rnd.Intn(4) {
			var p countersign.Payload
			fill(rnd, reflect.ValueOf(&p).Elem())
			ps = append(ps, p)
		}
		if _, ok := references(nil, ps); ok {
			met++
		}
		got, err := Payloads(nil, ps)
		if err != nil {
			t.Fatal(err)
		}
		if want, err := json.Marshal(ps); err != nil || string(got) != unescaped(string(want)) {
			t.Fatalf("%s\n%s", got, want)
		}
	}
	if met < 1000 {
		t.Errorf("only %d were known", met)
	}
}

// unescaped takes back what encoding/json does for HTML.
func unescaped(s string) string {
	return strings.NewReplacer(`\u0026`, "&", `\u003c`, "<", `\u003e`, ">").Replace(s)
}
