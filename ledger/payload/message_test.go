package payload

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	countersign "github.com/countersign/countersign"
)

// What a record brings along arrives as it was, and a message that is cut anywhere
// is refused.
func TestPayloadsCross(t *testing.T) {
	want := []countersign.Payload{{Role: "prompt", Media: "application/json", Plain: []byte("{}")}, {Role: "said", Plain: []byte{}}, {Role: "r", Media: "text/event-stream; charset=utf-8", Plain: []byte("data: 1\n\n")}}
	head, parts, err := Enclose(want)
	if err != nil {
		t.Fatal(err)
	}
	all := head
	for _, p := range parts {
		all = append(all, p...)
	}
	got, err := Disclose(all)
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v %s", err, diff)
	}
	for n := range all {
		if got, err := Disclose(all[:n]); err == nil {
			t.Errorf("%d of %d bytes: %v", n, len(all), got)
		}
	}
	if _, err := Disclose(append(all, 0)); err == nil {
		t.Error("a byte more was taken")
	}
}
