package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/creack/pty"
)

// busyPolicy lets the looking commands go and asks about the rest; a card that
// nobody answers is over soon, as somebody is away now and then.
const busyPolicy = `version: 1
approvals: {timeout: 4s}
commands:
  - {id: soak-git, verdict: allow, argv: ["git", "..."], reason: measures}
  - {id: soak-ls, verdict: allow, argv: ["ls", "..."], reason: measures}
  - {id: soak-sleep, verdict: allow, argv: ["sleep", "..."], reason: measures}
  - {id: soak-step, verdict: allow, argv: ["sh", "soak-step.sh"], reason: measures}
  - {id: soak-rm, verdict: deny, argv: ["rm", "-rf", "/"], reason: measures}
`

// busy is one session at work, seen from outside.
type busy struct {
	*place
	cmd      *exec.Cmd
	session  int // its process
	upstream *helper
}

// sessionSoak runs a busy scripted agent for some minutes, with a person who
// answers, and injects faults; it looks every five seconds at what the session's
// processes hold.
func (p *place) sessionSoak(minutes float64) ([]row, error) {
	b, err := p.startBusy(minutes)
	if err != nil {
		return nil, err
	}
	defer b.upstream.end(syscall.SIGKILL)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	seen, faults := make(chan []holding, 1), make(chan map[string]int, 1)
	go func() { seen <- b.watch(ctx) }()
	go func() { faults <- b.trouble(ctx) }()
	go b.person(ctx)
	werr := b.cmd.Wait()
	cancel()
	all, injected := <-seen, <-faults
	if werr != nil {
		return nil, fmt.Errorf("the session: %w", werr)
	}
	fmt.Fprintf(os.Stderr, "soak: faults injected: %v\n", injected)
	rows := growth(all)
	return append(rows, b.after()...), nil
}

func (p *place) startBusy(minutes float64) (*busy, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	b := &busy{place: p}
	if b.upstream, err = p.help(self, "-serve", "upstream"); err != nil {
		return nil, err
	}
	config, policy := filepath.Join(p.root, "config", "countersign"), filepath.Join(p.root, "busy.yaml")
	if err := errors.Join(
		os.MkdirAll(config, 0o700),
		os.WriteFile(policy, []byte(busyPolicy), 0o600),
		os.WriteFile(filepath.Join(config, "gateway.yaml"), fmt.Appendf(nil, doorConfig, b.upstream.url), 0o600),
		os.WriteFile(filepath.Join(p.project, "soak-step.sh"), []byte(soakStep), 0o644),
	); err != nil {
		return nil, err
	}
	b.cmd = exec.Command(p.bin, "run", "--policy", policy, "--", p.self, "-busy", strconv.Itoa(int(minutes*60)), "bench-tried.json")
	b.cmd.Dir, b.cmd.Env = p.project, append(p.env, "BENCH_KEY="+benchKey(), "TERM=xterm")
	tty, err := pty.StartWithSize(b.cmd, &pty.Winsize{Rows: 40, Cols: 120})
	if err != nil {
		return nil, err
	}
	go func() { _, _ = io.Copy(io.Discard, tty) }()
	b.session = b.cmd.Process.Pid
	return b, nil
}

// person looks every quarter of a second at what waits, approves nine of ten, and
// is away now and then for longer than a card waits.
func (b *busy) person(ctx context.Context) {
	for ctx.Err() == nil {
		time.Sleep(250 * time.Millisecond)
		var open []struct{ ID string }
		if json.Unmarshal(b.ask(ctx, "requests", "--json"), &open) != nil {
			continue
		}
		for _, q := range open {
			switch n := rand.IntN(100); {
			case n == 0:
				time.Sleep(6 * time.Second) // the desk is closed
			case n < 11:
				b.ask(ctx, "deny", q.ID, "--reason", "not now")
			default:
				b.ask(ctx, "approve", q.ID)
			}
		}
	}
}

func (b *busy) ask(ctx context.Context, args ...string) []byte {
	cmd := exec.CommandContext(ctx, b.bin, args...)
	cmd.Dir, cmd.Env = b.project, b.env
	out, _ := cmd.Output() // an answer that came too late is no fault
	return out
}

// trouble injects a fault about every two seconds, which is one in a hundred of
// what the agent does: a process of the tree is killed, the ledger's process stands
// still for a while as on a slow disk, a command of the person is killed on its way.
func (b *busy) trouble(ctx context.Context) map[string]int {
	injected := map[string]int{}
	for n := 0; ; n++ {
		select {
		case <-ctx.Done():
			return injected
		case <-time.After(time.Duration(1+rand.IntN(2000)) * time.Millisecond):
		}
		switch n % 3 {
		case 0:
			if pids := b.tree(); len(pids) > 1 { // the first is the agent itself
				if syscall.Kill(pids[1+rand.IntN(len(pids)-1)], syscall.SIGKILL) == nil {
					injected["killed child"]++
				}
			}
		case 1:
			if pid, err := process("__ledger", filepath.Join(b.root, "state")); err == nil && syscall.Kill(pid, syscall.SIGSTOP) == nil {
				time.Sleep(time.Duration(200+rand.IntN(1300)) * time.Millisecond)
				_ = syscall.Kill(pid, syscall.SIGCONT)
				injected["slow disk"]++
			}
		case 2:
			short, cancel := context.WithTimeout(ctx, time.Duration(rand.IntN(20))*time.Millisecond)
			b.ask(short, "log", "--json")
			cancel()
			injected["killed reader"]++
		}
	}
}

// tree lists the processes of the agent, itself first.
func (b *busy) tree() (pids []int) {
	var below func(pid int)
	below = func(pid int) {
		for _, child := range children(pid) {
			cmd, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", child))
			if len(pids) > 0 || bytes.HasPrefix(cmd, []byte(b.self)) {
				pids = append(pids, child)
			}
			below(child)
		}
	}
	below(b.session)
	return pids
}

func children(pid int) (out []int) {
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, t := range tasks {
		text, _ := os.ReadFile(t)
		for _, f := range strings.Fields(string(text)) {
			if n, err := strconv.Atoi(f); err == nil {
				out = append(out, n)
			}
		}
	}
	return out
}

func lines(file string) int {
	text, _ := os.ReadFile(file)
	return bytes.Count(text, []byte("\n"))
}

// holding is what a session held at one moment.
type holding struct {
	session, ledger, served sample // served: the tripwire server
	processes, mounts       float64
}

func (b *busy) watch(ctx context.Context) (all []holding) {
	state := filepath.Join(b.root, "state")
	for n := 1; ; n++ {
		select {
		case <-ctx.Done():
			return all
		case <-time.After(5 * time.Second):
		}
		h := holding{session: look(b.session), processes: float64(len(b.tree()))}
		if pid, err := process("__ledger", state); err == nil {
			h.ledger = look(pid)
		}
		for _, pid := range children(b.session) {
			cmd, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
			if bytes.Contains(cmd, []byte("__tripwire")) {
				h.served = look(pid)
			}
		}
		if pids := b.tree(); len(pids) > 0 {
			h.mounts = float64(lines(fmt.Sprintf("/proc/%d/mountinfo", pids[0])))
		}
		if h.session.rss > 0 && h.mounts > 0 {
			all = append(all, h)
		}
		if n%60 == 0 {
			fmt.Fprintf(os.Stderr, "soak, minute %d: %+v\n", n/12, h)
		}
	}
}

// growth compares what was held in the second tenth of the time and in the last.
func growth(all []holding) []row {
	if len(all) < 30 {
		return []row{{what: "session soak", way: "snapshot", note: "too short"}}
	}
	tenth := len(all) / 10
	first, last := all[tenth:2*tenth+1], all[len(all)-tenth-1:]
	compare := func(what, unit string, aim float64, of func(holding) float64) row {
		pick := func(hs []holding) float64 {
			var v []float64
			for _, h := range hs {
				v = append(v, of(h))
			}
			return middle(v)
		}
		x, y := pick(first), pick(last)
		return row{what: "session soak: " + what + ", last tenth to second", way: "snapshot", bare: fmt.Sprintf("%.0f%s", x, unit), inside: fmt.Sprintf("%.0f%s", y, unit), unit: "x", min: y / max(x, 1), median: y / max(x, 1), aim: aim}
	}
	rows := []row{compare("processes", "", 1.5, func(h holding) float64 { return h.processes }), compare("mounts", "", 1, func(h holding) float64 { return h.mounts })}
	for _, of := range []struct {
		name string
		get  func(holding) sample
	}{
		{"session", func(h holding) sample { return h.session }},
		{"ledger", func(h holding) sample { return h.ledger }},
		{"tripwire server", func(h holding) sample { return h.served }},
	} {
		rows = append(rows,
			compare(of.name+"'s memory", "MB", 1.2, func(h holding) float64 { return of.get(h).rss }),
			compare(of.name+"'s descriptors", "", 1.2, func(h holding) float64 { return of.get(h).descriptors }),
			compare(of.name+"'s threads", "", 1.2, func(h holding) float64 { return of.get(h).threads }),
		)
	}
	return rows
}

// after looks at what the session left when it has ended.
func (b *busy) after() []row {
	b.upstream.end(syscall.SIGKILL)
	b.upstream = nil
	time.Sleep(2 * time.Second)
	count := func(what string, n float64) row {
		return row{what: "session soak: " + what, way: "snapshot", bare: "-", inside: "-", min: n, median: n, aim: nought}
	}
	did := tried{}
	text, err := os.ReadFile(b.find("bench-tried.json"))
	if err == nil {
		err = json.Unmarshal(text, &did)
	}
	fmt.Fprintf(os.Stderr, "soak: the agent did %v (%v)\n", did, err)
	verify := exec.Command(b.bin, "verify")
	verify.Dir, verify.Env = b.project, b.env
	out, err := verify.CombinedOutput()
	fmt.Fprintf(os.Stderr, "soak: verify: %s(%v)\n", out, err)
	wrong := 0.0
	if err != nil {
		wrong = 1
	}
	logged := strings.Split(strings.TrimSpace(string(b.ask(context.Background(), "log", "--json", "--type", "exec.decided"))), "\n")
	asked := 0
	for _, line := range logged {
		if strings.Contains(line, `"touch","asked-`) {
			asked++
		}
	}
	fmt.Fprintf(os.Stderr, "soak: %d decisions on commands, %d on what is asked about\n", len(logged), asked)
	left := 0
	if all, err := filepath.Glob("/proc/[0-9]*/environ"); err == nil {
		for _, f := range all {
			env, _ := os.ReadFile(f)
			if slices.Contains(strings.Split(string(env), "\x00"), "HOME="+b.home) {
				left++
			}
		}
	}
	mounts, _ := os.ReadFile("/proc/self/mountinfo")
	return []row{
		count("verify fails", wrong),
		count(fmt.Sprintf("decisions missing of %d commands that are asked about", did["asked"]), max(0, float64(did["asked"]-1-asked))),
		count("processes left behind", float64(left)),
		count("mounts left behind", float64(bytes.Count(mounts, []byte(b.root)))),
	}
}

// find is a file of the agent's, in the layer that the session kept.
func (b *busy) find(name string) string {
	found := ""
	_ = filepath.WalkDir(filepath.Join(b.root, "state"), func(path string, _ os.DirEntry, _ error) error {
		if filepath.Base(path) == name {
			found = path
			return filepath.SkipAll
		}
		return nil
	})
	return found
}
