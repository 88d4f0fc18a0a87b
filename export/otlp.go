package export

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"sort"
	"strconv"
	"strings"
	"time"

	countersign "github.com/countersign/countersign"
)

// OTLP is the JSON encoding of OTLP/HTTP (opentelemetry-proto 1.x): each record a
// log record whose body is the leaf, and each answer of a model also a span with
// the attributes of the GenAI conventions. Prompts and answers are in neither.
type OTLP struct{ Version string } // of this program

type kv struct {
	Key   string `json:"key"`
	Value value  `json:"value"`
}

// value is AnyValue; 64-bit integers are strings in this encoding.
type value struct {
	String *string  `json:"stringValue,omitempty"`
	Int    *string  `json:"intValue,omitempty"`
	Double *float64 `json:"doubleValue,omitempty"`
	Array  *array   `json:"arrayValue,omitempty"`
}

type array struct {
	Values []value `json:"values"`
}

type logRecord struct {
	Time       string `json:"timeUnixNano"`
	Severity   int    `json:"severityNumber"`
	Text       string `json:"severityText"`
	EventName  string `json:"eventName"`
	Body       value  `json:"body"`
	Attributes []kv   `json:"attributes"`
	TraceID    string `json:"traceId,omitempty"`
	SpanID     string `json:"spanId,omitempty"`
}

type span struct {
	TraceID    string  `json:"traceId"`
	SpanID     string  `json:"spanId"`
	Name       string  `json:"name"`
	Kind       int     `json:"kind"` // 3: client
	Start      string  `json:"startTimeUnixNano"`
	End        string  `json:"endTimeUnixNano"`
	Attributes []kv    `json:"attributes"`
	Status     *status `json:"status,omitempty"`
}

type status struct {
	Code    int    `json:"code"` // 2: error
	Message string `json:"message,omitempty"`
}

// Posts are the logs, and the spans if there are any.
func (o OTLP) Posts(batch []Line) ([]Post, error) {
	var logs []logRecord
	var spans []span
	for _, l := range batch {
		at, err := time.Parse(time.RFC3339Nano, l.T.Wall)
		if err != nil {
			return nil, fmt.Errorf("record %d: %w", l.Seq, err)
		}
		s, ok := spanOf(l.Record, at)
		if ok {
			spans = append(spans, s)
		}
		logs = append(logs, logOf(l, at, s))
	}
	scope := map[string]string{"name": "countersign", "version": o.Version}
	resource := map[string]any{"attributes": attributes(map[string]any{
		"service.name": "countersign", "service.version": o.Version, "service.instance.id": batch[0].Node,
	})}
	out := []Post{}
	add := func(path string, v any) error {
		b, err := json.Marshal(v)
		out = append(out, Post{Path: path, Media: "application/json", Body: b})
		return err
	}
	err := add("v1/logs", map[string]any{"resourceLogs": []any{map[string]any{"resource": resource, "scopeLogs": []any{map[string]any{"scope": scope, "logRecords": logs}}}}})
	if err == nil && len(spans) > 0 {
		err = add("v1/traces", map[string]any{"resourceSpans": []any{map[string]any{"resource": resource, "scopeSpans": []any{map[string]any{"scope": scope, "spans": spans}}}}})
	}
	return out, err
}

// Taken refuses an answer that says that some were not taken.
func (OTLP) Taken(answer []byte) error {
	var v struct {
		PartialSuccess struct {
			RejectedLogRecords json.Number `json:"rejectedLogRecords"`
			RejectedSpans      json.Number `json:"rejectedSpans"`
			ErrorMessage       string      `json:"errorMessage"`
		} `json:"partialSuccess"`
	}
	if len(answer) == 0 || json.Unmarshal(answer, &v) != nil {
		return nil // protobuf, or nothing: the status is all that is said
	}
	for _, n := range []json.Number{v.PartialSuccess.RejectedLogRecords, v.PartialSuccess.RejectedSpans} {
		if n != "" && n != "0" {
			return fmt.Errorf("it rejected %s of a batch: %s", n, v.PartialSuccess.ErrorMessage)
		}
	}
	return nil
}

// logOf makes a log record; of an answer it belongs to its span.
func logOf(l Line, at time.Time, s span) logRecord {
	severity, text := 9, "INFO"
	switch {
	case l.Decision != nil && l.Decision.Verdict == countersign.Deny, l.Outcome != nil && l.Outcome.Status == "refused":
		severity, text = 13, "WARN"
	case l.Outcome != nil && l.Outcome.Status != "ok":
		severity, text = 17, "ERROR"
	}
	a := map[string]any{
		"countersign.record.id": l.ID, "countersign.record.seq": l.Seq, "countersign.record.type": l.Type,
		"session.id": l.Session,
	}
	if l.Agent != nil {
		a["gen_ai.agent.name"] = l.Agent.Name
	}
	if l.Actor != nil {
		a["countersign.actor.kind"], a["countersign.actor.id"] = l.Actor.Kind, l.Actor.ID
	}
	if l.Policy != nil {
		a["countersign.policy.rule"], a["countersign.policy.bundle"] = l.Policy.Rule, l.Policy.Bundle
	}
	if l.Decision != nil {
		a["countersign.verdict"], a["countersign.basis"] = string(l.Decision.Verdict), string(l.Decision.Basis)
	}
	if l.Outcome != nil {
		a["countersign.outcome"] = l.Outcome.Status
	}
	if l.Action != nil {
		a["countersign.action.kind"], a["countersign.action.summary"] = string(l.Action.Kind), l.Action.Summary
	}
	body := strings.TrimSpace(string(l.JSON))
	return logRecord{
		Time: nanos(at), Severity: severity, Text: text, EventName: "countersign." + l.Type,
		Body: value{String: &body}, Attributes: attributes(a), TraceID: s.TraceID, SpanID: s.SpanID,
	}
}

// operations are the GenAI operations of the routes that are calls of a model, by
// how their names begin.
var operations = []struct{ prefix, operation string }{
	{"anthropic-batch", ""},
	{"anthropic-count", ""},
	{"anthropic-models", ""},
	{"anthropic", "chat"},
	{"openai-chat", "chat"},
	{"openai-responses", "chat"},
	{"openai-embeddings", "embeddings"},
	{"azure-chat", "chat"},
	{"azure-responses", "chat"},
	{"azure-embeddings", "embeddings"},
	{"gemini-embed", "embeddings"},
	{"gemini-", ""},
	{"gemini", "generate_content"},
	{"ollama-chat", "chat"},
	{"ollama-generate", "text_completion"},
	{"ollama-embed", "embeddings"},
}

// vendors are the names that the conventions give to the vendors of wires.
var vendors = map[string]string{"anthropic": "anthropic", "openai": "openai", "azure": "azure.ai.openai", "gemini": "gcp.gemini", "ollama": "ollama"}

// spanOf makes the span of a model's answer. Its ids follow from the record's, so
// that what is sent twice is one span.
func spanOf(r countersign.Record, end time.Time) (span, bool) {
	if r.Type != "model.response" || r.Model == nil {
		return span{}, false
	}
	op := ""
	for _, o := range operations {
		if strings.HasPrefix(r.Model.Wire, o.prefix) {
			op = o.operation
			break
		}
	}
	if op == "" {
		return span{}, false
	}
	vendor, _, _ := strings.Cut(r.Model.Wire, "-")
	a := map[string]any{
		"gen_ai.operation.name": op, "gen_ai.provider.name": vendors[vendor], "gen_ai.request.model": r.Model.Requested, "gen_ai.response.model": r.Model.Served,
		"gen_ai.conversation.id": r.Session, "session.id": r.Session,
		"countersign.provider": r.Model.Provider, "countersign.record.id": r.ID, "countersign.record.seq": r.Seq, "countersign.request.id": r.Parent,
	}
	if r.Agent != nil {
		a["gen_ai.agent.name"] = r.Agent.Name
	}
	spend(a, r)
	start := end.Add(-detailed(r, "duration_ms"))
	if ttft, ok := r.Detail["ttft_ms"].(float64); ok {
		a["gen_ai.response.time_to_first_chunk"] = ttft / 1000
	}
	if stop, ok := r.Detail["stop"].(string); ok {
		a["gen_ai.response.finish_reasons"] = []string{stop}
	}
	if code, ok := r.Detail["status"].(float64); ok {
		a["http.response.status_code"] = int64(code)
	}
	for _, name := range []string{"user", "project"} {
		a["countersign."+name] = r.Detail[name]
	}
	out := span{TraceID: id(r.Session, 16), SpanID: id(r.ID, 8), Name: strings.TrimSpace(op + " " + r.Model.Requested), Kind: 3, Start: nanos(start), End: nanos(end)}
	if o := r.Outcome; o != nil && o.Status != "ok" {
		a["error.type"] = o.Status
		out.Status = &status{2, o.Error}
	}
	out.Attributes = attributes(a)
	return out, true
}

// spend adds tokens and cost. Ours are in one class each; the conventions count
// cached tokens as input too.
func spend(a map[string]any, r countersign.Record) {
	if u := r.Usage; u != nil {
		a["gen_ai.usage.input_tokens"] = u.Input + u.CacheRead + u.CacheWrite
		a["gen_ai.usage.output_tokens"] = u.Output
		a["gen_ai.usage.cache_read.input_tokens"] = u.CacheRead
		a["gen_ai.usage.cache_creation.input_tokens"] = u.CacheWrite
		a["gen_ai.usage.reasoning.output_tokens"] = u.Reasoning
	}
	if c := r.Cost; c != nil {
		a["countersign.cost.table"] = c.Table
		if c.NanoUSD != nil {
			a["countersign.cost.nano_usd"] = *c.NanoUSD
		}
	}
}

func detailed(r countersign.Record, name string) time.Duration {
	ms, _ := r.Detail[name].(float64) // absent: no time
	return time.Duration(ms) * time.Millisecond
}

// id is n bytes of a hash, in hex, as trace and span ids are.
func id(s string, n int) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:n])
}

func nanos(t time.Time) string { return strconv.FormatInt(t.UnixNano(), 10) }

// attributes encodes what is not empty, sorted by name.
func attributes(m map[string]any) []kv {
	out := []kv{}
	for name, v := range m {
		if x, ok := encode(v); ok {
			out = append(out, kv{name, x})
		}
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Key < out[j].Key })
	return out
}

func encode(v any) (value, bool) {
	switch v := v.(type) {
	case string:
		return value{String: &v}, v != ""
	case uint64:
		s := strconv.FormatUint(v, 10)
		return value{Int: &s}, true
	case int64:
		s := strconv.FormatInt(v, 10)
		return value{Int: &s}, true
	case float64:
		return value{Double: &v}, true
	case []string:
		a := array{Values: []value{}}
		for i := range v {
			a.Values = append(a.Values, value{String: &v[i]})
		}
		return value{Array: &a}, true
	}
	return value{}, false
}
