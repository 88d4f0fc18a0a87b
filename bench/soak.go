package main

import (
	"bytes"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// soakStreams is how many answers are open at once in a soak; one in soakAborts
// is given up by its agent somewhere on the way.
const (
	soakStreams = 256
	soakAborts  = 10
)

// sample is what a process holds at one moment.
type sample struct {
	rss         float64 // MB
	descriptors float64
	threads     float64
}

func look(pid int) sample {
	fds, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		return sample{}
	}
	tasks, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	if err != nil {
		return sample{}
	}
	return sample{float64(resident(pid)) / megabyte, float64(len(fds)), float64(len(tasks))}
}

// soak keeps streams open for some minutes and looks each second at what the
// gateway and its ledger process hold.
func (p *place) soak(minutes float64) ([]row, error) {
	text, err := p.source()
	if err != nil {
		return nil, err
	}
	d, err := p.newDoor()
	if err != nil {
		return nil, err
	}
	defer d.end()
	length := time.Duration(minutes * float64(time.Minute))
	l := newLoad(d.gateway.url, d.token, func(w, n int) []byte {
		return prompt(modelPaced, text, 1, 8<<10, fmt.Sprint("soak", w, n))
	})
	l.abort = func(w, n int) int {
		if (w+n)%soakAborts > 0 {
			return 0
		}
		return 1 + (w*7+n)%39
	}
	pids := []int{d.gateway.cmd.Process.Pid, d.ledger}
	ended := make(chan struct{})
	seen := make(chan [2][]sample, 1)
	go func() { seen <- sampled(pids, ended) }()
	done, failed, why := l.keepOpen(soakStreams, length)
	close(ended)
	samples := <-seen
	if why != nil {
		fmt.Fprintf(os.Stderr, "soak: %d calls failed: %v\n", failed, why)
	}
	rows := []row{{what: fmt.Sprintf("soak: failed calls of %d", done), way: "gateway", bare: "-", inside: "-", unit: "calls", min: float64(failed), median: float64(failed), aim: nought}}
	for i, name := range []string{"gateway", "ledger"} {
		rows = append(rows, held(name, samples[i], minutes)...)
	}
	// What was open ends, its idle connections to the upstream after 90 seconds;
	// then the gateway says itself what is left.
	l.client.CloseIdleConnections()
	fmt.Fprintln(os.Stderr, "soak: coming to rest")
	time.Sleep(100 * time.Second)
	d.gateway.end(syscall.SIGQUIT)
	left := float64(bytes.Count(d.gateway.err.Bytes(), []byte("\ngoroutine ")))
	rows = append(rows, row{what: "soak: goroutines at rest, at the end", way: "gateway", bare: "-", inside: "-", unit: "", min: left, median: left, aim: 64})
	d.gateway = nil
	calls, missing, err := d.lost(0)
	return append(rows, row{what: fmt.Sprintf("soak: records lost of %d calls", calls), way: "gateway", bare: "-", inside: "-", unit: "lost", min: float64(missing), median: float64(missing), aim: nought}), err
}

// keepOpen has workers call for as long as d, and counts.
func (l *load) keepOpen(c int, d time.Duration) (done, failed int, why error) {
	var calls atomic.Int64
	var mu sync.Mutex
	begun := time.Now()
	l.workers(c, func(w int) took {
		for n := 0; time.Since(begun) < d; n++ {
			t := l.once(w, n)
			calls.Add(1)
			if t.failed > 0 {
				mu.Lock()
				failed, why = failed+1, t.why
				mu.Unlock()
			}
		}
		return took{}
	})
	return int(calls.Load()), failed, why
}

// sampled looks at two processes each second until it is ended.
func sampled(pids []int, ended <-chan struct{}) (all [2][]sample) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for n := 1; ; n++ {
		select {
		case <-ended:
			return all
		case <-tick.C:
		}
		for i, pid := range pids {
			all[i] = append(all[i], look(pid))
		}
		if n%60 == 0 {
			fmt.Fprintf(os.Stderr, "soak, minute %d: gateway %.0f MB, ledger %.0f MB\n", n/60, all[0][n-1].rss, all[1][n-1].rss)
		}
	}
}

// held compares the first and the last minute of what a process held; of a short
// soak, its first and last third. The aim is for the second half: until then the
// bounded caches fill (of blocks that were scanned, 65,536).
func held(name string, all []sample, minutes float64) []row {
	if len(all) < 20 {
		return []row{{what: "soak: " + name, way: name, note: "too short"}}
	}
	all = all[10:]
	window := min(60, len(all)/3)
	pick := func(s []sample, of func(sample) float64) float64 {
		var v []float64
		for _, x := range s {
			v = append(v, of(x))
		}
		return middle(v)
	}
	compare := func(what, unit string, of func(sample) float64, aim float64) row {
		a, b := pick(all[:window], of), pick(all[len(all)-window:], of)
		return row{what: "soak: " + what + ", last minute to first", way: name, bare: fmt.Sprintf("%.0f%s", a, unit), inside: fmt.Sprintf("%.0f%s", b, unit), unit: "x", min: b / a, median: b / a, aim: aim}
	}
	rss := func(s sample) float64 { return s.rss }
	var most float64
	for _, s := range all {
		most = max(most, s.rss)
	}
	rise := slope(all[len(all)/2:])
	return []row{
		compare("memory", " MB", rss, 0),
		{what: fmt.Sprintf("soak: memory, slope of the second half of %.0f minutes, most %.0f MB", minutes, most), way: name, bare: "-", inside: "-", unit: "MB/min", min: rise, median: rise, aim: 0.5},
		compare("descriptors", "", func(s sample) float64 { return s.descriptors }, 1.05),
		compare("threads", "", func(s sample) float64 { return s.threads }, 0),
	}
}

// slope is how the memory rises, in MB a minute: the line of least squares.
func slope(all []sample) float64 {
	n := float64(len(all))
	var sx, sy, sxx, sxy float64
	for i, s := range all {
		x := float64(i) / 60
		sx, sy, sxx, sxy = sx+x, sy+s.rss, sxx+x*x, sxy+x*s.rss
	}
	if d := n*sxx - sx*sx; d != 0 {
		return (n*sxy - sx*sy) / d
	}
	return 0
}
