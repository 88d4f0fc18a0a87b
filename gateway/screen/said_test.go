package screen

import (
	"context"
	"testing"

	"github.com/countersign/countersign/gateway/wire"
)

// thinkingWire visits every string as signed thinking.
type thinkingWire struct{ wire.Wire }

func (thinkingWire) Walk(_ wire.Route, doc *wire.Doc, visit func(wire.String) bool) {
	w := wire.Walker{Visit: visit}
	w.All(doc.Root(), wire.Thinking, true)
}

// What a provider has said a moment ago may come back before it is searched: then it
// is not blocked for good, but asked again after the search.
func TestWhatComesBackEarly(t *testing.T) {
	secret := "ghp_" + made(7, 36)
	s := newScanner()
	doc, err := wire.Parse([]byte(`{"thinking":"they gave me ` + secret + `, so"}`))
	if err != nil {
		t.Fatal(err)
	}
	var said Said
	ask := func() *Request {
		r := &Request{Scanner: s, Rules: Usual{}, Said: &said, Holder: "me"}
		if err := r.Body(thinkingWire{}, wire.Route{}, doc); err != nil {
			t.Fatal(err)
		}
		return r
	}
	if r := ask(); r.Found.Blocked == nil || r.Early {
		t.Errorf("nothing was said and nothing is coming: %v, early %v", r.Found.Blocked, r.Early)
	}
	searched := said.Coming("me")
	if r := ask(); r.Found.Blocked == nil || !r.Early {
		t.Errorf("an answer is coming: %v, early %v", r.Found.Blocked, r.Early)
	}
	go func() {
		a := Answer{Scanner: s, Rules: Usual{}}
		if _, _, err := a.Clear(wire.Answer{Thinking: "they gave me " + secret + ", so"}, nil, true, nil); err != nil {
			t.Error(err)
		}
		said.Add(&a.Found)
		searched()
	}()
	said.Wait(t.Context(), "me")
	if r := ask(); r.Found.Blocked != nil || r.Early {
		t.Errorf("the provider has said it: %v, early %v", r.Found.Blocked, r.Early)
	}
}

// Who waits, waits for his own answers, and not beyond his patience.
func TestWaitIsForOnesOwn(t *testing.T) {
	var said Said
	done := said.Coming("another")
	said.Wait(t.Context(), "me") // returns
	mine := said.Coming("me")
	ctx, stop := context.WithCancel(t.Context())
	stop()
	said.Wait(ctx, "me") // returns too
	mine()
	said.Wait(t.Context(), "me")
	done()
}
