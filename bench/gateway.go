package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// system is one way from the load to the upstream.
type system struct {
	name, url string
	pids      []int // the gateway, then its ledger process
}

func (d *door) systems() []system {
	return []system{
		{name: "direct", url: d.upstream.url},
		{name: "proxy", url: d.proxy.url, pids: []int{d.proxy.cmd.Process.Pid}},
		{name: "gateway", url: d.gateway.url, pids: []int{d.gateway.cmd.Process.Pid, d.ledger}},
	}
}

// scene is one kind of load; a round runs each against each system in turn.
type scene struct {
	name string
	c    int           // workers
	n    int           // calls of each, at most; 0: any
	d    time.Duration // how long, at most
	body func(worker, n int) []byte
}

const megabyte = 1 << 20

// scenes are those of the design's table: an 8 KB prompt, a 4 KB answer, and a
// 256 KB prompt as an agent sends it, first seen and with one turn more.
func scenes(text []byte, round int) []scene {
	small := func(model string) func(int, int) []byte {
		return func(w, n int) []byte { return prompt(model, text, 1, 8<<10, fmt.Sprint(round, w, n)) }
	}
	return []scene{
		{"whole c=1", 1, 0, 1200 * time.Millisecond, small(modelWhole)},
		{"burst c=1", 1, 0, 1200 * time.Millisecond, small(modelBurst)},
		{"whole c=16", 16, 0, 1200 * time.Millisecond, small(modelWhole)},
		{"whole c=64", 64, 0, 1200 * time.Millisecond, small(modelWhole)},
		{"whole c=256", 256, 0, 2 * time.Second, small(modelWhole)},
		{"paced c=256", 256, 5, 8 * time.Second, small(modelPaced)},
		{"first sight", 1, 40, 3 * time.Second, func(w, n int) []byte {
			return prompt(modelLong, text, 16, 256<<10, fmt.Sprint(round, w, n))
		}},
		{"next turn", 1, 60, 3 * time.Second, func(w, n int) []byte {
			return append(bytes.TrimSuffix(prompt(modelLong, text, 16, 256<<10, fmt.Sprint(round, "same")), []byte("]}")),
				fmt.Sprintf(`,{"role":"user","content":"and now the next question, number %d"}]}`, n)...)
		}},
	}
}

// prompt is a request of messages with size bytes of text in all. Each message
// begins with the name, so that none of another name is known already.
func prompt(model string, text []byte, messages, size int, name string) []byte {
	b := fmt.Appendf(make([]byte, 0, size+size/8), `{"model":%q,"stream":%v,"max_tokens":4096,"messages":[`, model, model != modelWhole)
	each := size / messages
	for i := range messages {
		from := (i * each) % (len(text) - each)
		b = fmt.Appendf(b, `{"role":"user","content":"%s, message %d: `, name, i)
		b = append(b, text[from:from+each]...)
		b = append(b, `"},`...)
	}
	return append(b[:len(b)-1], "]}"...)
}

// source is the text of prompts: this repository's own, as a JSON string's
// inside without quotes and backslashes.
func (p *place) source() ([]byte, error) {
	files, err := filepath.Glob(filepath.Join(p.project, "*", "*.go"))
	if err != nil {
		return nil, err
	}
	var all []byte
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			return nil, err
		}
		all = append(all, b...)
	}
	text := strings.NewReplacer(`\`, "/", `"`, "'", "\n", `\n`, "\t", "  ").Replace(strings.ToValidUTF8(string(all), ""))
	// Pieces are cut anywhere: no escape may be cut in two.
	text = strings.ReplaceAll(text, `\n`, " ; ")
	if len(text) < megabyte {
		text = strings.Repeat(text, megabyte/len(text)+1)
	}
	return bytes.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '.'
		}
		return r
	}, []byte(text)), nil
}

// gatewayFigures measures the model door against no door and against a bare
// reverse proxy, in turn, record and scan on.
func (p *place) gatewayFigures(rounds int) ([]row, error) {
	text, err := p.source()
	if err != nil {
		return nil, err
	}
	d, err := p.newDoor()
	if err != nil {
		return nil, err
	}
	defer d.end()
	got := figures{}
	past := 0
	for r := range rounds {
		// The second is with a call past the gateway before each, as a gateway has it.
		between := newLoad(d.upstream.url, d.token, scenes(text, r)[0].body)
		for i, before := range []func(n int){func(int) {}, func(n int) { between.once(0, n); past++ }} {
			sync, err := flushes(filepath.Join(p.root, "state", "yardstick"), 300, before)
			if err != nil {
				return nil, err
			}
			got[yardsticks[i]] = append(got[yardsticks[i]], took{total: sync})
		}
		between.client.CloseIdleConnections()
		for _, sc := range scenes(text, r) {
			fmt.Fprintf(os.Stderr, "round %d, %s\n", r+1, sc.name)
			for _, sys := range d.systems() {
				t := d.play(sc, sys)
				got[sc.name+" "+sys.name] = append(got[sc.name+" "+sys.name], t)
				if sys.name != "gateway" {
					past += len(t.total) + t.failed + sc.c
				}
			}
		}
	}
	calls, missing, err := d.lost(past)
	if err != nil {
		return nil, err
	}
	return append(got.rows(), row{
		what: fmt.Sprintf("records lost of %d calls", calls), way: "gateway", bare: "-", inside: "-", unit: "lost",
		min: float64(missing), median: float64(missing), aim: nought,
	}), nil
}

// play runs one scene against one system and looks at its processes.
func (d *door) play(sc scene, sys system) took {
	l := newLoad(sys.url, d.token, sc.body)
	defer l.client.CloseIdleConnections()
	warm := l.warm(sc.c)
	before := make([]time.Duration, len(sys.pids))
	for i, pid := range sys.pids {
		before[i] = cpu(pid)
	}
	most := watch(sys.pids)
	t := l.run(sc.c, sc.n, sc.d)
	t.rss = most()
	for i, pid := range sys.pids {
		spent := cpu(pid) - before[i]
		t.cpu += spent
		if i == 1 {
			t.ledgerCPU = spent
		}
	}
	t.failed += warm.failed
	if t.failed > 0 {
		fmt.Fprintf(os.Stderr, "%s, %s: %d calls failed: %v\n", sc.name, sys.name, t.failed, t.why)
	}
	return t
}

// watch looks at the memory of processes until it is asked for the most.
func watch(pids []int) (most func() int64) {
	stop, done := make(chan struct{}), make(chan int64)
	go func() {
		for top := int64(0); ; {
			sum := int64(0)
			for _, pid := range pids {
				sum += resident(pid)
			}
			top = max(top, sum)
			select {
			case <-stop:
				done <- top
				return
			case <-time.After(50 * time.Millisecond):
			}
		}
	}()
	return func() int64 { close(stop); return <-done }
}

// yardsticks are how the flushes are called among the figures.
var yardsticks = [...]string{"one fdatasync", "one fdatasync between calls"}

// flushes are n writes of 2 KiB in place, each flushed, with something before each.
func flushes(path string, n int, before func(n int)) ([]time.Duration, error) {
	f, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	buf := make([]byte, 2048)
	var d []time.Duration
	for i := range n {
		before(i)
		t := time.Now()
		if _, err := f.WriteAt(buf, 0); err != nil {
			return nil, err
		}
		if err := fdatasyncFile(f); err != nil {
			return nil, err
		}
		d = append(d, time.Since(t))
	}
	return d, nil
}

func percentile(d []time.Duration, p int) time.Duration {
	if len(d) == 0 {
		return 0
	}
	s := slices.Clone(d)
	slices.Sort(s)
	return s[min(len(s)-1, len(s)*p/100)]
}
