package anthropic

import "github.com/countersign/countersign/gateway/wire"

// Walk visits every string of a body.
func (Wire) Walk(_ wire.Route, body *wire.Doc, visit func(wire.String) bool) {
	w := &walker{wire.Walker{Visit: visit}}
	w.params(body.Root())
}

type walker struct{ wire.Walker }

func (w *walker) params(v wire.Value) {
	w.Each(v, wire.Other, func(name string, v wire.Value) {
		switch name {
		case "system":
			w.content(v, wire.System)
		case "messages":
			w.Items(v, wire.Other, w.message)
		case "tools":
			w.All(v, wire.ToolSchema, false)
		case "model":
			w.All(v, wire.Protocol, true)
		case "requests": // of a batch
			w.Items(v, wire.Other, func(v wire.Value) {
				w.Each(v, wire.Other, func(name string, v wire.Value) {
					if name == "params" {
						w.params(v)
					} else {
						w.All(v, wire.Protocol, true)
					}
				})
			})
		default:
			w.All(v, wire.Other, false)
		}
	})
}

func (w *walker) message(v wire.Value) {
	place := wire.User
	switch v.Get("role").Text() {
	case "assistant":
		place = wire.Assistant
	case "system":
		place = wire.System
	}
	w.Each(v, place, func(name string, v wire.Value) {
		switch name {
		case "content":
			w.content(v, place)
		case "tools":
			w.All(v, wire.ToolSchema, false)
		default:
			w.All(v, wire.Protocol, true)
		}
	})
}

// content is a string or a list of blocks.
func (w *walker) content(v wire.Value, place wire.Place) {
	w.Items(v, place, func(v wire.Value) { w.block(v, place) })
}

func (w *walker) block(v wire.Value, place wire.Place) {
	switch v.Get("type").Text() {
	case "thinking", "redacted_thinking":
		w.All(v, wire.Thinking, true)
		return
	}
	w.Each(v, place, func(name string, v wire.Value) {
		switch name {
		case "text", "title", "context":
			w.All(v, place, false)
		case "input":
			w.All(v, wire.ToolCall, false)
		case "content":
			w.content(v, wire.ToolResult)
		case "source":
			w.source(v, place)
		case "encrypted_content", "encrypted_index", "encrypted_stdout", "signature":
			w.All(v, wire.Thinking, true)
		case "type", "id", "tool_use_id", "name", "cache_control", "server_name", "caller":
			w.All(v, wire.Protocol, true)
		case "citations": // they quote, and are checked against what they quote
			w.All(v, place, true)
		default:
			w.All(v, place, false)
		}
	})
}

// source is of an image or document: base64, text, blocks, an address or an id.
func (w *walker) source(v wire.Value, place wire.Place) {
	base64 := v.Get("type").Text() == "base64"
	w.Each(v, place, func(name string, v wire.Value) {
		switch {
		case name == "data" && base64:
			w.All(v, wire.Media, true)
		case name == "data" || name == "url":
			w.All(v, place, false)
		case name == "content":
			w.content(v, place)
		default:
			w.All(v, wire.Protocol, true)
		}
	})
}
