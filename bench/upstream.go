package main

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// The scripts of the upstream, by the model that is asked for. A chunk carries
// the moment at which it was written, so that whoever reads it knows how long it
// was under way.
const (
	modelWhole = "bench-whole" // one JSON answer of 4 KB
	modelBurst = "bench-burst" // the same in 32 chunks, as fast as they go
	modelPaced = "bench-paced" // 40 chunks, 20 ms apart
	modelLong  = "bench-long"  // 16 KB in 128 chunks
)

const pace = 20 * time.Millisecond

// serve is a process beside the measurement: the upstream, or a bare reverse
// proxy in front of it. It prints its address and ends with its standard input.
func serve(args []string) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	var h http.Handler = &upstream{}
	if args[0] == "proxy" {
		if h, err = bareProxy(args[1]); err != nil {
			return err
		}
	}
	fmt.Println("http://" + l.Addr().String())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	return http.Serve(l, h)
}

// bareProxy is what any gateway in Go costs at least: no token, no scan, no
// record. Full duplex keeps it from cutting answers (golang/go#40747).
func bareProxy(to string) (http.Handler, error) {
	u, err := url.Parse(to)
	if err != nil {
		return nil, err
	}
	p := httputil.NewSingleHostReverseProxy(u)
	p.FlushInterval = -1
	p.Transport = &http.Transport{MaxIdleConns: 256, MaxIdleConnsPerHost: 64, DisableCompression: true}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).EnableFullDuplex() // always possible with HTTP/1
		p.ServeHTTP(w, r)
	}), nil
}

// upstream is a scripted provider of the chat wire. GET /count tells how many
// calls have reached it.
type upstream struct{ calls atomic.Int64 }

func (u *upstream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodGet {
		fmt.Fprint(w, u.calls.Load())
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	u.calls.Add(1)
	_, model, _ := bytes.Cut(body[:min(len(body), 100)], []byte(`"model":"`))
	model, _, _ = bytes.Cut(model, []byte(`"`))
	switch string(model) {
	case modelBurst:
		stream(w, modelBurst, 32, 0)
	case modelPaced:
		stream(w, modelPaced, 40, pace)
	case modelLong:
		stream(w, modelLong, 128, 0)
	default:
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"id":"c","object":"chat.completion","created":%d,"model":%q,"choices":[{"index":0,"message":{"role":"assistant","content":%q},"finish_reason":"stop"}],"usage":{"prompt_tokens":2000,"completion_tokens":1000}}`,
			time.Now().UnixNano(), modelWhole, strings.Repeat(piece, 32))
	}
}

// piece is 128 bytes of an answer.
var piece = strings.Repeat("sixteen letters ", 8)

func stream(w http.ResponseWriter, model string, chunks int, every time.Duration) {
	w.Header().Set("Content-Type", "text/event-stream")
	flush := http.NewResponseController(w)
	next := time.Now()
	for i := range chunks + 1 {
		if 0 < i && i < chunks && every > 0 {
			next = next.Add(every)
			time.Sleep(time.Until(next))
		}
		rest := `,"choices":[{"index":0,"delta":{"content":"` + piece + `"}}]}` + "\n\n"
		if i == chunks {
			rest = `,"choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":{"prompt_tokens":2000,"completion_tokens":1000}}` + "\n\ndata: [DONE]\n\n"
		}
		head := `data: {"id":"c","object":"chat.completion.chunk","model":"` + model + `","created":`
		if _, err := io.WriteString(w, head+strconv.FormatInt(time.Now().UnixNano(), 10)+rest); err != nil || flush.Flush() != nil {
			return
		}
	}
}
