package anthropic

import (
	"strconv"
	"strings"

	"github.com/countersign/countersign/gateway/wire"
)

// Meter reads message_start, the deltas and message_delta of a stream, or a
// whole message. Anthropic's input_tokens leave cached tokens out, so the counts
// are ours already.
func (Wire) Meter(_ wire.Route, media string) *wire.Tally { return wire.NewTally(media, take, nil) }

func take(t *wire.Tally, e wire.Value) {
	switch e.Get("type").Text() {
	case "message_start":
		whole(t, e.Get("message"))
	case "message":
		whole(t, e)
	case "message_delta":
		wire.Last(&t.Stop, e.Get("delta", "stop_reason"))
		usage(t, e.Get("usage"))
	case "content_block_start":
		block(t, e.Get("index"), e.Get("content_block"), true)
	case "content_block_delta":
		delta(t, key(e.Get("index")), e.Get("delta"))
	case "":
		// count_tokens says nothing but a number, which nobody pays.
		usage(t, e.Get("usage"))
	}
}

func key(index wire.Value) string { return string(index.Raw()) }

func whole(t *wire.Tally, m wire.Value) {
	wire.Last(&t.Served, m.Get("model"))
	wire.Last(&t.Stop, m.Get("stop_reason"))
	usage(t, m.Get("usage"))
	n := 0
	for b := range m.Get("content").Items() {
		block(t, wire.Value{}, b, false)
		toolUse(t, strconv.Itoa(n), b, string(b.Get("input").Raw()))
		n++
	}
}

// block is a content block: whole in a message, empty at the start of a
// streamed one.
func block(t *wire.Tally, index, b wire.Value, streamed bool) {
	switch b.Get("type").Text() {
	case "text":
		t.Say(b.Get("text").Borrow())
	case "thinking":
		t.Think(b.Get("thinking").Borrow())
	}
	if streamed {
		toolUse(t, key(index), b, "")
	}
}

func toolUse(t *wire.Tally, key string, b wire.Value, input string) {
	switch b.Get("type").Text() {
	case "tool_use", "server_tool_use", "mcp_tool_use":
		t.Call(key, b.Get("id").Text(), b.Get("name").Text(), input)
	}
}

func delta(t *wire.Tally, key string, d wire.Value) {
	switch d.Get("type").Text() {
	case "text_delta":
		t.Say(d.Get("text").Borrow())
	case "thinking_delta":
		t.Think(d.Get("thinking").Borrow())
	case "input_json_delta":
		t.Call(key, "", "", d.Get("partial_json").Text())
	}
}

func usage(t *wire.Tally, u wire.Value) {
	c := &t.Counts
	c.Set(&c.Input, u.Get("input_tokens"))
	c.Set(&c.Output, u.Get("output_tokens"))
	c.Set(&c.CacheRead, u.Get("cache_read_input_tokens"))
	c.Set(&c.CacheWrite, u.Get("cache_creation_input_tokens"))
	c.Set(&c.CacheWriteLong, u.Get("cache_creation", "ephemeral_1h_input_tokens"))
	c.Set(&c.Reasoning, u.Get("output_tokens_details", "thinking_tokens"))
	wire.Last(&t.Tier, u.Get("service_tier"))
	// Both are charged otherwise, as a tier is.
	for _, name := range []string{"speed", "inference_geo"} {
		switch s := u.Get(name).Text(); s {
		case "", "standard", "global", "not_available":
		default:
			if !strings.Contains(t.Tier, "/"+s) {
				t.Tier += "/" + s
			}
		}
	}
}
