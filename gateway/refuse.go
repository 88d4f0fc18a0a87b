package gateway

import (
	"encoding/json"
	"net/http"
	"strconv"
)

// refuse answers in the shape of the route's wire. Policy and our own faults
// answer 400: on 403 and 5xx agents retry up to thirty times, or blame the
// login. x-should-retry stops those that listen.
func refuse(w http.ResponseWriter, wire Wire, status int, kind, message string) {
	message = "Countersign: " + message
	var body any
	if wire == Anthropic {
		body = map[string]any{"type": "error", "error": map[string]any{"type": kind, "message": message}}
	} else {
		body = map[string]any{"error": map[string]any{"message": message, "type": kind, "param": nil, "code": "countersign_refused"}}
	}
	b, err := json.Marshal(body)
	if err != nil {
		b = []byte("{}") // strings always marshal
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(b)))
	h.Set("X-Should-Retry", "false")
	w.WriteHeader(status)
	_, _ = w.Write(b)
}

const (
	invalidRequest = "invalid_request_error"
	authentication = "authentication_error"
)
