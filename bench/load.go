package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// took is what one call, or many together, took.
type took struct {
	total, first, hold []time.Duration // whole calls; to the first chunk; chunks from their writing to their reading
	failed             int
	why                error // of one that failed
	elapsed            time.Duration
	cpu, ledgerCPU     time.Duration // of the system under measurement; of it, the ledger process
	rss                int64         // bytes, the most that was seen
}

func (t *took) add(o took) {
	t.total, t.first, t.hold = append(t.total, o.total...), append(t.first, o.first...), append(t.hold, o.hold...)
	t.failed += o.failed
	if o.why != nil {
		t.why = o.why
	}
}

// rate is completed calls in a second.
func (t took) rate() float64 { return float64(len(t.total)) / t.elapsed.Seconds() }

// perCall is the processor time of one call.
func (t took) perCall() time.Duration { return t.cpu / time.Duration(max(1, len(t.total))) }

// load calls one address from many workers.
type load struct {
	url, token string
	client     *http.Client
	body       func(worker, n int) []byte
	// abort, if set, says after how many chunks a call is given up; 0: never.
	abort func(worker, n int) int
}

func newLoad(url, token string, body func(worker, n int) []byte) *load {
	return &load{url: url + "/v1/chat/completions", token: token, body: body, client: &http.Client{
		Transport: &http.Transport{MaxIdleConns: 1024, MaxIdleConnsPerHost: 1024, DisableCompression: true},
	}}
}

// warm makes a call of each worker, which opens the connections.
func (l *load) warm(c int) took {
	return l.workers(c, func(w int) took { return l.once(w, -1) })
}

// run has c workers call until d is over, or each has made n calls if that is not
// 0.
func (l *load) run(c, n int, d time.Duration) took {
	begun := time.Now()
	all := l.workers(c, func(w int) took {
		var t took
		for i := 0; (n == 0 || i < n) && time.Since(begun) < d; i++ {
			t.add(l.once(w, i))
		}
		return t
	})
	all.elapsed = time.Since(begun)
	return all
}

func (l *load) workers(c int, do func(int) took) took {
	var mu sync.Mutex
	var wg sync.WaitGroup
	var all took
	for w := range c {
		wg.Go(func() {
			t := do(w)
			mu.Lock()
			defer mu.Unlock()
			all.add(t)
		})
	}
	wg.Wait()
	return all
}

func (l *load) once(worker, n int) (t took) {
	fail := func(err error) took { return took{failed: 1, why: err} }
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, l.url, bytes.NewReader(l.body(worker, n)))
	if err != nil {
		return fail(err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer "+l.token)
	stop := 0
	if l.abort != nil {
		stop = l.abort(worker, n)
	}
	begun := time.Now()
	resp, err := l.client.Do(r)
	if err != nil {
		return fail(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		b, _ := io.ReadAll(io.LimitReader(resp.Body, 300))
		return fail(fmt.Errorf("status %d: %s", resp.StatusCode, b))
	}
	whole := false
	in := bufio.NewReaderSize(resp.Body, 64<<10)
	for chunks := 0; ; {
		line, err := in.ReadSlice('\n')
		if at := written(line); at > 0 {
			now := time.Now()
			if chunks == 0 {
				t.first = []time.Duration{now.Sub(begun)}
			}
			chunks++
			t.hold = append(t.hold, now.Sub(time.Unix(0, at)))
		}
		whole = whole || bytes.Contains(line, []byte(`"finish_reason":"stop"`))
		if stop > 0 && chunks >= stop {
			return took{}
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return fail(err)
		}
	}
	if !whole {
		return fail(errors.New("the answer was cut"))
	}
	t.total = []time.Duration{time.Since(begun)}
	return t
}

// written reads the moment out of a chunk; 0 if there is none.
func written(line []byte) int64 {
	_, rest, ok := bytes.Cut(line, []byte(`"created":`))
	if !ok {
		return 0
	}
	digits, _, _ := bytes.Cut(rest, []byte(","))
	at, err := strconv.ParseInt(string(digits), 10, 64)
	if err != nil {
		return 0
	}
	return at
}
