package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// farHost leads to the loopback of the measurement's own network; it is an address
// of documentation, as the door reaches no private one.
const farHost = "198.51.100.7:9000"

const egressPolicy = benchPolicy + "network:\n  - {id: far, verdict: allow, host: 198.51.100.7, port: 9000, reason: measures}\n"

// egressFigures measures the network door against direct, in a network of its own:
// that of one thread, and of what that starts.
func (p *place) egressFigures(rounds int) (rows []row, err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // never unlocked: the thread ends with its network
		if err = unix.Unshare(unix.CLONE_NEWNET); err != nil {
			rows, err = []row{{what: "network door", way: "-", note: fmt.Sprintf("left out: no network of its own: %v", err)}}, nil
			return
		}
		rows, err = p.egressIn(rounds)
	}()
	<-done
	return rows, err
}

func (p *place) egressIn(rounds int) ([]row, error) {
	out, err := exec.Command("sh", "-c", "ip link set lo up && ip route add local 198.51.100.0/24 dev lo").CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("make a network: %w: %s", err, out)
	}
	l, err := net.Listen("tcp", farHost)
	if err != nil {
		return nil, err
	}
	srv := &http.Server{Handler: http.HandlerFunc(far)}
	go srv.Serve(l)
	defer srv.Close()
	policy := filepath.Join(p.root, "egress.yaml")
	if err := os.WriteFile(policy, fmt.Appendf(nil, egressPolicy, p.self), 0o600); err != nil {
		return nil, err
	}
	var bare, door []map[string]time.Duration
	var flush []time.Duration
	for range rounds {
		b, err := p.driven([]string{p.self, "-fetch", farHost})
		if err != nil {
			return nil, err
		}
		f, err := fdatasync(filepath.Join(p.root, "state", "yardstick"), 200)
		if err != nil {
			return nil, err
		}
		d, err := p.driven([]string{p.bin, "run", "--policy", policy, "--approver", "none", "--fresh", "--", p.self, "-fetch", farHost})
		if err != nil {
			return nil, err
		}
		bare, door, flush = append(bare, b), append(door, d), append(flush, f)
	}
	return egressRows(bare, door, flush), nil
}

// far answers with few bytes or many.
func far(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/bulk" {
		fmt.Fprintln(w, "small")
		return
	}
	w.Header().Set("Content-Length", strconv.Itoa(bulkBytes))
	chunk := make([]byte, 256<<10)
	for range bulkBytes / len(chunk) {
		if _, err := w.Write(chunk); errors.Is(err, io.ErrClosedPipe) {
			return
		}
	}
}

func egressRows(bare, door []map[string]time.Duration, flush []time.Duration) []row {
	pick := func(all []map[string]time.Duration, name string) (out []time.Duration) {
		for _, m := range all {
			out = append(out, m[name])
		}
		return out
	}
	var rows []row
	for _, name := range []string{"p50", "p99"} {
		b, d := pick(bare, name), pick(door, name)
		rows = append(rows, row{
			what: "network door: new tunnel, added " + name + " (one fdatasync: " + short(median(flush)) + ")", way: "egress", bare: short(median(b)), inside: short(median(d)), unit: "ms",
			min: ms(minimum(d) - minimum(b)), median: ms(median(d) - median(b)),
		})
	}
	b, d := pick(bare, "bulk"), pick(door, "bulk")
	rate := func(t time.Duration) string { return fmt.Sprintf("%.0f MB/s", bulkBytes/1e6/t.Seconds()) }
	return append(rows, row{
		what: "network door: throughput, part of direct", way: "egress", bare: rate(median(b)), inside: rate(median(d)), unit: "x", atLeast: true,
		min: float64(minimum(b)) / float64(minimum(d)), median: float64(median(b)) / float64(median(d)),
	})
}
