package openai

import (
	"cmp"
	"strconv"
	"strings"

	"github.com/countersign/countersign/gateway/wire"
)

// Meter reads chunks, events or a whole answer of either protocol. Both count
// cached tokens in, so that they are taken out of the input at the end.
func (Wire) Meter(rt wire.Route, media string) *wire.Tally {
	take := takeChat
	if rt.Name == responses {
		take = takeResponses
	}
	return wire.NewTally(media, take, func(c *wire.Counts) {
		c.Input = max(0, c.Input-c.CacheRead-c.CacheWrite)
	})
}

func takeChat(t *wire.Tally, e wire.Value) {
	wire.Last(&t.Served, e.Get("model"))
	usage(t, e.Get("usage"))
	wire.Last(&t.Tier, e.Get("service_tier"))
	for c := range e.Get("choices").Items() {
		wire.Last(&t.Stop, c.Get("finish_reason"))
		choice := string(c.Get("index").Raw())
		t.Say(c.Get("text").Borrow()) // of the old completions
		for _, m := range []wire.Value{c.Get("delta"), c.Get("message")} {
			t.Say(m.Get("content").Borrow())
			t.Say(m.Get("refusal").Borrow())
			t.Think(m.Get("reasoning_content").Borrow())
			t.Think(m.Get("reasoning").Borrow())
			n := 0
			for call := range m.Get("tool_calls").Items() {
				index := string(call.Get("index").Raw())
				if index == "" {
					index = strconv.Itoa(n)
				}
				n++
				key := choice + "/" + index
				f := call.Get("function")
				t.Call(key, call.Get("id").Text(), f.Get("name").Text(), f.Get("arguments").Text())
				if f := call.Get("custom"); f.Given() {
					t.Call(key, "", f.Get("name").Text(), f.Get("input").Text())
				}
			}
		}
	}
}

func takeResponses(t *wire.Tally, e wire.Value) {
	typ := e.Get("type").Text()
	key := e.Get("item_id").Text()
	switch {
	case e.Get("response").Given():
		// The answer's parts were heard one by one.
		response(t, e.Get("response"), false)
		switch typ {
		case "response.completed", "response.incomplete", "response.failed": // the event says it too
			t.Stop = cmp.Or(t.Stop, strings.TrimPrefix(typ, "response."))
		}
	case e.Get("object").Text() == "response":
		response(t, e, true)
	case typ == "response.output_text.delta" || typ == "response.refusal.delta":
		t.Say(e.Get("delta").Borrow())
	case typ == "response.reasoning_summary_text.delta" || typ == "response.reasoning_text.delta":
		t.Think(e.Get("delta").Borrow())
	case typ == "response.output_item.added":
		item := e.Get("item")
		if isCall(item) {
			t.Call(item.Get("id").Text(), item.Get("call_id").Text(), callName(item), "")
		}
	case typ == "response.function_call_arguments.delta" || typ == "response.custom_tool_call_input.delta":
		t.Call(key, "", "", e.Get("delta").Text())
	case typ == "response.function_call_arguments.done" && !t.Called(key):
		t.Call(key, "", e.Get("name").Text(), e.Get("arguments").Text())
	case typ == "response.custom_tool_call_input.done" && !t.Called(key):
		t.Call(key, "", "", e.Get("input").Text())
	case typ == "response.output_item.done":
		output(t, e.Get("item"))
	}
}

func response(t *wire.Tally, r wire.Value, whole bool) {
	wire.Last(&t.Served, r.Get("model"))
	wire.Last(&t.Tier, r.Get("service_tier"))
	usage(t, r.Get("usage"))
	switch s := r.Get("status").Text(); s {
	case "completed", "incomplete", "failed", "cancelled":
		t.Stop = s
		if why := r.Get("incomplete_details", "reason").Text(); why != "" {
			t.Stop += ": " + why
		}
	}
	if whole {
		for item := range r.Get("output").Items() {
			output(t, item)
		}
	}
}

func isCall(item wire.Value) bool { return strings.HasSuffix(item.Get("type").Text(), "_call") }

func callName(item wire.Value) string {
	if s := item.Get("name").Text(); s != "" {
		return s
	}
	return item.Get("type").Text()
}

// output is a whole item: what its pieces did not say.
func output(t *wire.Tally, item wire.Value) {
	switch {
	case isCall(item):
		key := item.Get("id").Text()
		input := ""
		if !t.Called(key) {
			for _, name := range []string{"arguments", "input"} {
				input += item.Get(name).Text()
			}
			input += string(item.Get("action").Raw())
		}
		t.Call(key, item.Get("call_id").Text(), callName(item), input)
	case item.Get("type").Text() == "reasoning" && !t.Thought():
		for _, list := range []string{"summary", "content"} {
			for part := range item.Get(list).Items() {
				t.Think(part.Get("text").Borrow())
			}
		}
	case item.Get("type").Text() == "message" && !t.Said():
		for part := range item.Get("content").Items() {
			t.Say(part.Get("text").Borrow())
			t.Say(part.Get("refusal").Borrow())
		}
	}
}

func usage(t *wire.Tally, u wire.Value) {
	c := &t.Counts
	for _, w := range [][2]string{{"prompt_tokens", "completion_tokens"}, {"input_tokens", "output_tokens"}} {
		c.Set(&c.Input, u.Get(w[0]))
		c.Set(&c.Output, u.Get(w[1]))
		c.Set(&c.CacheRead, u.Get(w[0]+"_details", "cached_tokens"))
		c.Set(&c.CacheWrite, u.Get(w[0]+"_details", "cache_write_tokens"))
		c.Set(&c.Reasoning, u.Get(w[1]+"_details", "reasoning_tokens"))
	}
	c.Set(&c.CacheRead, u.Get("prompt_cache_hit_tokens")) // DeepSeek
}
