package main

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/countersign/countersign/ledger"
)

// door is what the gateway is measured with: a scripted upstream, a bare reverse
// proxy, the gateway itself with its ledger process, each a process.
type door struct {
	*place
	upstream, proxy, gateway *helper
	ledger                   int // its process
	token                    string
}

// helper is a process that prints its address and ends when it is told to.
type helper struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	url string
	err bytes.Buffer
}

const doorPolicy = "version: 1\nmodels: {allow: [\"up/*\"]}\n"

const doorConfig = "find_local: false\nproviders:\n  - {name: up, wire: openai, base_url: %s/v1, key: {env: BENCH_KEY}}\n"

// benchKey is as long as a provider's: what is sent and said is searched for it, in
// each of its forms. It stands in no source, as those are the prompts.
func benchKey() string { return rand.Text() + rand.Text() }

// newDoor starts everything. What is recorded and searched is what a gateway does
// without a word in the policy.
func (p *place) newDoor() (d *door, err error) {
	d = &door{place: p}
	defer func() {
		if err != nil {
			d.end()
		}
	}()
	self, err := os.Executable()
	if err != nil {
		return d, err
	}
	if d.upstream, err = p.help(self, "-serve", "upstream"); err != nil {
		return d, err
	}
	if d.proxy, err = p.help(self, "-serve", "proxy", d.upstream.url); err != nil {
		return d, err
	}
	config := filepath.Join(p.root, "config", "countersign")
	policy := filepath.Join(p.root, "door.yaml")
	if err := errors.Join(
		os.MkdirAll(config, 0o700),
		os.WriteFile(policy, []byte(doorPolicy), 0o600),
		os.WriteFile(filepath.Join(config, "gateway.yaml"), fmt.Appendf(nil, doorConfig, d.upstream.url), 0o600),
	); err != nil {
		return d, err
	}
	if d.gateway, err = p.help(p.bin, "gateway", "--listen", "127.0.0.1:0", "--policy", policy, "--drain", "5s", "--json"); err != nil {
		return d, err
	}
	var said struct{ URL string }
	if err := json.Unmarshal([]byte(d.gateway.url), &said); err != nil {
		return d, err
	}
	d.gateway.url = said.URL
	issue := exec.Command(p.bin, "gateway", "token", "--name", "bench")
	issue.Env = p.env
	out, err := issue.Output()
	d.token = strings.TrimSpace(string(out))
	if err == nil {
		d.ledger, err = process("__ledger", filepath.Join(p.root, "state"))
	}
	return d, err
}

// help starts a process and reads the line with its address.
func (p *place) help(name string, args ...string) (*helper, error) {
	h := &helper{cmd: exec.Command(name, args...)}
	h.cmd.Env, h.cmd.Dir, h.cmd.Stderr = append(p.env, "BENCH_KEY="+benchKey(), "GOTRACEBACK=all"), p.root, &h.err
	out, err := h.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if h.in, err = h.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if err := h.cmd.Start(); err != nil {
		return nil, err
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		h.end(syscall.SIGKILL)
		return nil, fmt.Errorf("%s %s: %w: %s", name, args[0], err, &h.err)
	}
	h.url = strings.TrimSpace(line)
	return h, nil
}

func (h *helper) end(how syscall.Signal) {
	if h == nil {
		return
	}
	_ = h.in.Close()
	_ = h.cmd.Process.Signal(how)
	_ = h.cmd.Wait() // how it ends is said by what it left
}

// end ends the gateway in order first, so that its records are whole.
func (d *door) end() {
	d.gateway.end(syscall.SIGTERM)
	d.proxy.end(syscall.SIGKILL)
	d.upstream.end(syscall.SIGKILL)
	d.gateway, d.proxy, d.upstream = nil, nil, nil
}

// lost ends the gateway and counts what has reached the upstream through it and
// is not on record, request and answer: others is what came past the gateway.
func (d *door) lost(others int) (calls, missing int, err error) {
	resp, err := http.Get(d.upstream.url + "/count")
	if err != nil {
		return 0, 0, err
	}
	defer resp.Body.Close()
	n, err := io.ReadAll(resp.Body)
	if err == nil {
		calls, err = strconv.Atoi(string(n))
	}
	if err != nil {
		return 0, 0, err
	}
	calls -= others
	d.end()
	for deadline := time.Now().Add(20 * time.Second); alive(d.ledger) && time.Now().Before(deadline); {
		time.Sleep(20 * time.Millisecond)
	}
	r, err := ledger.OpenReader(filepath.Join(d.root, "state", "countersign", "ledger"))
	if err != nil {
		return 0, 0, err
	}
	requests, answers := 0, 0
	for line, err := range r.All() {
		switch {
		case err != nil:
			return 0, 0, err
		case bytes.Contains(line, []byte(`"type":"model.request"`)):
			requests++
		case bytes.Contains(line, []byte(`"type":"model.response"`)):
			answers++
		}
	}
	return calls, max(calls-requests, 0) + max(calls-answers, 0), nil
}

// process finds a process by two arguments of its command line.
func process(words ...string) (int, error) {
	all, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		return 0, err
	}
next:
	for _, f := range all {
		b, err := os.ReadFile(f)
		if err != nil {
			continue // it has ended
		}
		for _, w := range words {
			if !bytes.Contains(b, []byte(w)) {
				continue next
			}
		}
		return strconv.Atoi(filepath.Base(filepath.Dir(f)))
	}
	return 0, fmt.Errorf("no process has %q in its arguments", words)
}

func alive(pid int) bool { return syscall.Kill(pid, 0) == nil }

// cpu is the processor time of a process so far, user and system, in steps of
// 10 ms (proc(5), stat, fields 14 and 15 at 100 ticks a second).
func cpu(pid int) time.Duration {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	f := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	var ticks int64
	for _, i := range []int{11, 12} {
		n, err := strconv.ParseInt(f[i], 10, 64)
		if err != nil {
			return 0
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}

// resident is the memory of a process, in bytes.
func resident(pid int) int64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	f := strings.Fields(string(b))
	if err != nil || len(f) < 2 {
		return 0
	}
	pages, err := strconv.ParseInt(f[1], 10, 64)
	if err != nil {
		return 0
	}
	return pages * int64(os.Getpagesize())
}
