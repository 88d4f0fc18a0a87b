package plain

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strconv"

	countersign "github.com/countersign/countersign"
)

func (e *encoder) yes(name string, v bool) {
	if v {
		e.key(name)
		e.b = append(e.b, "true"...)
	}
}

func (e *encoder) outcome(o *countersign.Outcome) {
	if o == nil {
		return
	}
	e.open("outcome")
	e.text("status", o.Status)
	if o.Exit != nil {
		e.number("exit", int64(*o.Exit))
	}
	e.some("error", o.Error)
	e.close()
}

func (e *encoder) model(m *countersign.Model) {
	if m == nil {
		return
	}
	e.open("model")
	e.text("provider", m.Provider)
	e.text("requested", m.Requested)
	e.some("served", m.Served)
	e.text("wire", m.Wire)
	e.close()
}

func (e *encoder) usage(u *countersign.Usage) {
	if u == nil {
		return
	}
	e.open("usage")
	e.number("input", u.Input)
	e.number("output", u.Output)
	e.number("cache_read", u.CacheRead)
	e.number("cache_write", u.CacheWrite)
	e.number("reasoning", u.Reasoning)
	e.close()
}

func (e *encoder) cost(c *countersign.Cost) {
	if c == nil {
		return
	}
	e.open("cost")
	if c.NanoUSD != nil {
		e.number("nano_usd", *c.NanoUSD)
	} else {
		e.key("nano_usd")
		e.b = append(e.b, "null"...)
	}
	e.some("usd", c.USD)
	e.some("unknown", c.Unknown)
	e.text("table", c.Table)
	e.some("price", c.Price)
	e.yes("estimated", c.Estimated)
	e.list("excludes", c.Excludes)
	e.close()
}

// detail writes values of the kinds that most types have.
func (e *encoder) detail(all map[string]any) {
	if len(all) == 0 {
		return
	}
	e.open("detail")
	for _, name := range slices.Sorted(maps.Keys(all)) {
		e.name(name)
		switch v := all[name].(type) {
		case string:
			e.quote(v)
		case bool:
			e.b = strconv.AppendBool(e.b, v)
		case int:
			e.b = strconv.AppendInt(e.b, int64(v), 10)
		case int64:
			e.b = strconv.AppendInt(e.b, v, 10)
		case map[string]string:
			inside(e, v, e.quote)
		case map[string]int:
			inside(e, v, func(n int) { e.b = strconv.AppendInt(e.b, int64(n), 10) })
		default:
			e.odd = true
			return
		}
	}
	e.close()
}

func inside[V any](e *encoder, all map[string]V, put func(V)) {
	if all == nil {
		e.odd = true
		return
	}
	e.object()
	for _, name := range slices.Sorted(maps.Keys(all)) {
		e.name(name)
		put(all[name])
	}
	e.close()
}

// name is key for a name that is not known here.
func (e *encoder) name(s string) {
	e.comma()
	e.quote(s)
	e.b = append(e.b, ':')
}

// Payloads appends the references of payloads as JSON.
func Payloads(b []byte, ps []countersign.Payload) ([]byte, error) {
	if out, ok := references(b, ps); ok {
		return out, nil
	}
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	err := enc.Encode(ps)
	return append(b, bytes.TrimSpace(buf.Bytes())...), err
}

// references is Payloads without reflection. false: there is something in them that
// this does not know.
func references(b []byte, ps []countersign.Payload) ([]byte, bool) {
	e := encoder{b: append(b, '[')}
	for _, p := range ps {
		e.comma()
		e.object()
		e.text("role", p.Role)
		e.text("media", p.Media)
		e.number("len", p.Len)
		e.text("commit", p.Commit)
		e.text("ct", p.CT)
		e.text("kek", p.KEK)
		e.some("at", p.At)
		e.close()
	}
	return append(e.b, ']'), !e.odd
}
