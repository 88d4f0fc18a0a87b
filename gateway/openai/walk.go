package openai

import "github.com/countersign/countersign/gateway/wire"

// Walk visits every string of a body.
func (Wire) Walk(_ wire.Route, body *wire.Doc, visit func(wire.String) bool) {
	w := &walker{wire.Walker{Visit: visit}}
	w.Each(body.Root(), wire.Other, func(name string, v wire.Value) {
		switch name {
		case "model", "previous_response_id", "include", "store", "stream":
			w.All(v, wire.Protocol, true)
		case "instructions":
			w.All(v, wire.System, false)
		case "messages", "input", "prompt", "suffix":
			w.Items(v, wire.User, w.item)
		case "tools", "functions", "response_format", "text":
			w.All(v, wire.ToolSchema, false)
		default:
			w.All(v, wire.Other, false)
		}
	})
}

type walker struct{ wire.Walker }

// item is a chat message or an item of a Responses input.
func (w *walker) item(v wire.Value) {
	if v.Get("encrypted_content").Given() || v.Get("type").Text() == "reasoning" {
		w.All(v, wire.Thinking, true)
		return
	}
	place := placeOf(v)
	w.Each(v, place, func(name string, v wire.Value) {
		switch name {
		case "content", "output", "summary", "refusal", "stdout", "stderr":
			w.content(v, place)
		case "arguments", "input", "action", "operation":
			w.All(v, wire.ToolCall, false)
		case "tool_calls", "function_call":
			w.calls(v)
		case "reasoning", "reasoning_content", "reasoning_details", "signature":
			w.All(v, wire.Thinking, true)
		case "tools":
			w.All(v, wire.ToolSchema, false)
		case "type", "role", "id", "call_id", "tool_call_id", "name", "status", "namespace":
			w.All(v, wire.Protocol, true)
		default:
			w.All(v, place, false)
		}
	})
}

func placeOf(v wire.Value) wire.Place {
	switch v.Get("role").Text() {
	case "system", "developer":
		return wire.System
	case "assistant":
		return wire.Assistant
	case "tool", "function":
		return wire.ToolResult
	}
	if v.Get("output").Given() {
		return wire.ToolResult
	}
	return wire.User
}

// content is a string or a list of parts; the output of a shell is parts too.
func (w *walker) content(v wire.Value, place wire.Place) {
	part := func(v wire.Value) {
		w.Each(v, place, func(name string, v wire.Value) {
			switch name {
			case "type", "detail", "format", "filename":
				w.All(v, wire.Protocol, true)
			case "image_url", "file", "file_data", "input_audio":
				w.media(v, place)
			default:
				w.All(v, place, false)
			}
		})
	}
	if v.Kind() == wire.Object {
		part(v)
		return
	}
	w.Items(v, place, part)
}

// media holds base64 in data: addresses and fields of its own.
func (w *walker) media(v wire.Value, place wire.Place) {
	if v.Kind() == wire.Text {
		w.All(v, wire.Media, true)
		return
	}
	w.Each(v, place, func(name string, v wire.Value) {
		switch name {
		case "url", "file_data", "data":
			w.All(v, wire.Media, true)
		default:
			w.All(v, wire.Protocol, true)
		}
	})
}

func (w *walker) calls(v wire.Value) {
	one := func(v wire.Value) {
		w.Each(v, wire.ToolCall, func(name string, v wire.Value) {
			switch name {
			case "function", "custom":
				w.Each(v, wire.ToolCall, func(name string, v wire.Value) {
					if name == "name" {
						w.All(v, wire.Protocol, true)
					} else {
						w.All(v, wire.ToolCall, false)
					}
				})
			case "arguments":
				w.All(v, wire.ToolCall, false)
			default: // id, type, a vendor's signature
				w.All(v, wire.Protocol, true)
			}
		})
	}
	if v.Kind() == wire.Object {
		one(v)
		return
	}
	w.Items(v, wire.ToolCall, one)
}
