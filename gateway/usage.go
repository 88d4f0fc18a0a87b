package gateway

import (
	"bytes"
	"encoding/json"
	"strings"

	countersign "github.com/countersign/countersign"
)

// usageReader reads usage, the served model and the stop reason beside the
// stream. It never delays or changes a byte, and forgets what it has read.
type usageReader struct {
	wire  string
	sse   bool
	line  []byte // the line that is not whole yet; without SSE, the body
	data  []byte // of the event that is not whole yet
	skip  bool   // the event is too large to be read
	model string
	stop  string
	have  bool
	sum   counts
}

// counts is what the wires say, before their meanings are made one.
type counts struct {
	input, output, cached, cacheWrite, reasoning int64
}

// maxEvent bounds one event; larger ones (images) hold no usage.
const maxEvent = 8 << 20

func newUsageReader(wire, media string) usageReader {
	return usageReader{wire: wire, sse: strings.HasPrefix(media, "text/event-stream")}
}

func (u *usageReader) feed(b []byte) {
	if !u.sse {
		if len(u.line)+len(b) <= maxEvent {
			u.line = append(u.line, b...)
		} else {
			u.line, u.skip = nil, true
		}
		return
	}
	for {
		i := bytes.IndexByte(b, '\n')
		if i < 0 {
			break
		}
		u.text(bytes.TrimSuffix(append(u.line, b[:i]...), []byte("\r")))
		u.line = u.line[:0]
		b = b[i+1:]
	}
	if len(u.line)+len(b) <= maxEvent {
		u.line = append(u.line, b...)
	} else {
		u.line, u.skip = u.line[:0], true
	}
}

// text takes one line of an event stream (WHATWG HTML, section 9.2).
func (u *usageReader) text(line []byte) {
	if len(line) == 0 {
		if !u.skip {
			u.event(u.data)
		}
		u.data, u.skip = u.data[:0], false
		return
	}
	if d, ok := bytes.CutPrefix(line, []byte("data:")); ok && len(u.data)+len(d) <= maxEvent {
		u.data = append(append(u.data, bytes.TrimPrefix(d, []byte(" "))...), '\n')
	}
}

// end reads what has no blank line after it, and bodies that are no stream.
func (u *usageReader) end() {
	switch {
	case u.skip:
	case u.sse:
		u.text(bytes.TrimSuffix(u.line, []byte("\r")))
		u.event(u.data)
	default:
		u.event(u.line)
	}
	u.line, u.data = nil, nil
}

// event is one JSON object of any of the wires; most hold nothing to read.
func (u *usageReader) event(data []byte) {
	if !bytes.Contains(data, []byte(`"usage"`)) && !bytes.Contains(data, []byte(`"model"`)) &&
		!bytes.Contains(data, []byte(`_reason"`)) && !bytes.Contains(data, []byte(`"status"`)) {
		return
	}
	var e struct {
		Type     string     `json:"type"`
		Model    string     `json:"model"`
		Usage    *wireUsage `json:"usage"`
		Stop     string     `json:"stop_reason"`
		Status   string     `json:"status"`
		Message  *envelope  `json:"message"`
		Response *envelope  `json:"response"`
		Choices  []struct {
			Finish string `json:"finish_reason"`
		} `json:"choices"`
		Delta json.RawMessage `json:"delta"`
	}
	if json.Unmarshal(data, &e) != nil {
		return
	}
	u.take(e.Model, e.Usage, e.Stop)
	for _, in := range []*envelope{e.Message, e.Response} {
		if in != nil {
			u.take(in.Model, in.Usage, in.Stop)
			u.ended(in.Status)
		}
	}
	u.ended(e.Status)
	for _, ch := range e.Choices {
		u.take("", nil, ch.Finish)
	}
	var delta struct {
		Stop string `json:"stop_reason"`
	}
	if json.Unmarshal(e.Delta, &delta) == nil {
		u.take("", nil, delta.Stop)
	}
}

type envelope struct {
	Model  string     `json:"model"`
	Usage  *wireUsage `json:"usage"`
	Stop   string     `json:"stop_reason"`
	Status string     `json:"status"`
}

func (u *usageReader) ended(status string) {
	switch status {
	case "completed", "incomplete", "failed", "cancelled":
		u.stop = status
	}
}

// wireUsage has the fields of all wires; pointers tell 0 from not said.
type wireUsage struct {
	Input      *int64 `json:"input_tokens"`
	Output     *int64 `json:"output_tokens"`
	CacheRead  *int64 `json:"cache_read_input_tokens"`
	CacheWrite *int64 `json:"cache_creation_input_tokens"`
	Prompt     *int64 `json:"prompt_tokens"`
	Completion *int64 `json:"completion_tokens"`
	InDetail   *struct {
		Cached *int64 `json:"cached_tokens"`
	} `json:"input_tokens_details"`
	PromptDetail *struct {
		Cached *int64 `json:"cached_tokens"`
	} `json:"prompt_tokens_details"`
	OutDetail *struct {
		Reasoning *int64 `json:"reasoning_tokens"`
	} `json:"output_tokens_details"`
	CompletionDetail *struct {
		Reasoning *int64 `json:"reasoning_tokens"`
	} `json:"completion_tokens_details"`
}

// take keeps the last value seen of each field, as the wires repeat them.
func (u *usageReader) take(model string, w *wireUsage, stop string) {
	if model != "" {
		u.model = model
	}
	if stop != "" {
		u.stop = stop
	}
	if w == nil {
		return
	}
	u.have = true
	set := func(dst, src *int64) {
		if src != nil {
			*dst = *src
		}
	}
	set(&u.sum.input, w.Input)
	set(&u.sum.input, w.Prompt)
	set(&u.sum.output, w.Output)
	set(&u.sum.output, w.Completion)
	set(&u.sum.cached, w.CacheRead)
	set(&u.sum.cacheWrite, w.CacheWrite)
	if d := w.InDetail; d != nil {
		set(&u.sum.cached, d.Cached)
	}
	if d := w.PromptDetail; d != nil {
		set(&u.sum.cached, d.Cached)
	}
	if d := w.OutDetail; d != nil {
		set(&u.sum.reasoning, d.Reasoning)
	}
	if d := w.CompletionDetail; d != nil {
		set(&u.sum.reasoning, d.Reasoning)
	}
}

// usage returns tokens by class, each counted once: Anthropic's input leaves
// cached tokens out, OpenAI's counts them in. nil means that nothing was said,
// which is not zero.
func (u *usageReader) usage() *countersign.Usage {
	if !u.have {
		return nil
	}
	c := u.sum
	if strings.HasPrefix(u.wire, "openai") {
		c.input = max(0, c.input-c.cached)
	}
	return &countersign.Usage{Input: c.input, Output: c.output, CacheRead: c.cached, CacheWrite: c.cacheWrite, Reasoning: c.reasoning}
}
