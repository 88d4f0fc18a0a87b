package gemini

import (
	"errors"
	"strconv"

	"github.com/countersign/countersign/gateway/wire"
)

var errModel = errors.New("the body names another model than the path")

// Walk visits every string of a body.
func (Wire) Walk(_ wire.Route, body *wire.Doc, visit func(wire.String) bool) {
	w := &walker{wire.Walker{Visit: visit}}
	w.request(body.Root())
}

type walker struct{ wire.Walker }

func (w *walker) request(v wire.Value) {
	w.Each(v, wire.Other, func(name string, v wire.Value) {
		switch camel(name) {
		case "systemInstruction":
			w.content(v, wire.System)
		case "contents", "content":
			if v.Kind() == wire.Array {
				w.Items(v, wire.User, func(v wire.Value) { w.content(v, wire.User) })
			} else {
				w.content(v, wire.User)
			}
		case "tools":
			w.All(v, wire.ToolSchema, false)
		case "model", "cachedContent":
			w.All(v, wire.Protocol, true)
		case "generateContentRequest":
			w.request(v)
		case "requests":
			w.Items(v, wire.Other, w.request)
		default:
			w.All(v, wire.Other, false)
		}
	})
}

func (w *walker) content(v wire.Value, place wire.Place) {
	if v.Get("role").Text() == "model" {
		place = wire.Assistant
	}
	w.Each(v, place, func(name string, v wire.Value) {
		switch name {
		case "parts":
			if v.Kind() == wire.Array {
				w.Items(v, place, func(v wire.Value) { w.part(v, place) })
			} else {
				w.part(v, place)
			}
		case "role":
			w.All(v, wire.Protocol, true)
		default:
			w.All(v, place, false)
		}
	})
}

func (w *walker) part(v wire.Value, place wire.Place) {
	if v.Get("thought").Kind() == wire.True {
		w.All(v, wire.Thinking, true)
		return
	}
	w.Each(v, place, func(name string, v wire.Value) {
		switch camel(name) {
		case "functionCall", "executableCode":
			w.function(v, wire.ToolCall)
		case "functionResponse", "codeExecutionResult":
			w.function(v, wire.ToolResult)
		case "thoughtSignature":
			w.All(v, wire.Thinking, true)
		case "inlineData":
			w.All(v, wire.Media, true)
		case "fileData":
			w.All(v, wire.Protocol, true)
		default:
			w.All(v, place, false)
		}
	})
}

func (w *walker) function(v wire.Value, place wire.Place) {
	w.Each(v, place, func(name string, v wire.Value) {
		switch name {
		case "name", "id", "language", "outcome":
			w.All(v, wire.Protocol, true)
		case "parts":
			w.Items(v, place, func(v wire.Value) { w.part(v, place) })
		default:
			w.All(v, place, false)
		}
	})
}

// Meter reads chunks as events, as the elements of one array, or a whole answer.
// The prompt's tokens hold those read from a cache; those of a tool's results
// and of thoughts are counted beside the others.
func (Wire) Meter(_ wire.Route, media string) *wire.Tally {
	calls, tools, thoughts := 0, int64(0), int64(0)
	take := func(t *wire.Tally, e wire.Value) {
		wire.Last(&t.Served, e.Get("modelVersion"))
		u, c := e.Get("usageMetadata"), &t.Counts
		c.Set(&c.Input, u.Get("promptTokenCount"))
		c.Set(&c.Output, u.Get("candidatesTokenCount"))
		c.Set(&c.CacheRead, u.Get("cachedContentTokenCount"))
		c.Set(&tools, u.Get("toolUsePromptTokenCount"))
		c.Set(&thoughts, u.Get("thoughtsTokenCount"))
		if why := e.Get("promptFeedback", "blockReason").Text(); why != "" {
			t.Stop = why
		}
		for cand := range e.Get("candidates").Items() {
			wire.Last(&t.Stop, cand.Get("finishReason"))
			for p := range cand.Get("content", "parts").Items() {
				if f := p.Get("functionCall"); f.Given() {
					t.Call(strconv.Itoa(calls), f.Get("id").Text(), f.Get("name").Text(), string(f.Get("args").Raw()))
					calls++
				}
				if p.Get("thought").Kind() == wire.True {
					t.Think(p.Get("text").Borrow())
				} else {
					t.Say(p.Get("text").Borrow())
				}
			}
		}
	}
	each := func(t *wire.Tally, e wire.Value) {
		if e.Kind() != wire.Array {
			take(t, e)
		}
		for one := range e.Items() {
			take(t, one)
		}
	}
	return wire.NewTally(media, each, func(c *wire.Counts) {
		c.Input = max(0, c.Input-c.CacheRead) + tools
		c.Output, c.Reasoning = c.Output+thoughts, thoughts
	})
}
