package gateway

import (
	"bufio"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	countersign "github.com/countersign/countersign"
)

// While an answer is held the agent is told that it is under way, between two
// events and in the words of its wire; the answer itself stays as it is.
func TestHeldAnswersPing(t *testing.T) {
	tests := []struct{ name, path, media, early, late, ping string }{
		{"anthropic", "/v1/messages", "text/event-stream", "event: x\n", "data: {\"type\":\"message_start\",\"message\":{\"model\":\"m\"}}\n\n", "event: ping\ndata: {\"type\":\"ping\"}\n\n"},
		{"chat", "/v1/chat/completions", "text/event-stream", ": x\n", "data: {\"model\":\"m\"}\n\ndata: [DONE]\n\n", ": countersign\n\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			heard := make(chan struct{})
			r := newRig(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", tt.media)
				_, _ = io.WriteString(w, tt.early)
				w.(http.Flusher).Flush()
				<-heard
				_, _ = io.WriteString(w, tt.late)
			}, func(o *Options) {
				o.Quiet = time.Millisecond
				o.Served = func(string, string) countersign.Ruling {
					return countersign.Ruling{Verdict: countersign.Allow}
				}
			})
			resp := r.begin(t, "POST", tt.path, `{"model":"m","stream":true}`, "X-Api-Key", token)
			defer resp.Body.Close()
			in := bufio.NewReader(resp.Body)
			first := make([]byte, len(tt.ping))
			if _, err := io.ReadFull(in, first); err != nil || string(first) != tt.ping {
				t.Fatalf("%q %v", first, err)
			}
			close(heard)
			rest, err := io.ReadAll(in)
			got := strings.ReplaceAll(string(rest), tt.ping, "")
			if err != nil || got != tt.early+tt.late {
				t.Errorf("%q %v", got, err)
			}
			if res := r.untilClosed(t, 2)[1]; res.Outcome.Status != "ok" || res.Detail["bytes"] != len(tt.early+tt.late) {
				t.Errorf("%+v", res)
			}
		})
	}
}
