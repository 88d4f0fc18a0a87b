// Command dev hosts a command in this terminal and asks for made-up requests,
// so that the card can be looked at: dev [-every 3s] COMMAND ARG…
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"

	"github.com/creack/pty"

	"github.com/countersign/countersign"
	"github.com/countersign/countersign/tui/host"
)

func main() {
	every := flag.Duration("every", 3*time.Second, "ask so often, -times times")
	times := flag.Int("times", 1, "how often to ask")
	crash := flag.Bool("crash", false, "panic in the host a second after the card")
	flag.Parse()
	host.Say(os.Stderr, "starting %s", strings.Join(flag.Args(), " "))
	master, slave, err := pty.Open()
	if err != nil {
		panic(err)
	}
	cmd := exec.Command(flag.Arg(0), flag.Args()[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
	cmd.SysProcAttr = attr()
	if w, err := pty.GetsizeFull(os.Stdin); err == nil {
		pty.Setsize(master, w)
	}
	if err := cmd.Start(); err != nil {
		panic(err)
	}
	slave.Close()
	var mu sync.Mutex
	var open []countersign.Request
	var said []string
	changed := make(chan struct{}, 1)
	go func() {
		for i := range *times {
			time.Sleep(*every)
			mu.Lock()
			open = append(open, countersign.Request{
				ID: fmt.Sprint(i), Session: "dev", Digest: "sha256:" + strings.Repeat("d", 64), Reuse: "reuse:abc", Pending: true,
				Ruling: countersign.Ruling{Rule: "default", Layer: "built-in", Reason: "every command asks"},
				Action: countersign.Action{Kind: countersign.KindExec, Session: "dev", Peer: countersign.Peer{PID: cmd.Process.Pid, Exe: cmd.Path}, Exec: &countersign.Exec{
					Argv: []string{"bash", "-c", "cd /tmp&&for f in *.go;do gofmt -w $f;done; printf '\x1b[2J'"}, Cwd: "/work", Exe: countersign.Executable{Path: "/usr/bin/bash", SHA256: strings.Repeat("a", 64)},
					Stdin: countersign.StdinNull, Delta: []countersign.EnvChange{{Name: "GOFLAGS", Value: "-mod=mod"}},
				}},
			})
			mu.Unlock()
			changed <- struct{}{}
		}
	}()
	ctx, cancel := context.WithCancel(context.Background())
	go func() { cmd.Wait(); cancel() }()
	err = host.Run(ctx, host.Options{
		Master: master, In: os.Stdin, Out: os.Stdout, Changed: changed, Now: time.Now, User: "dev", Agent: "dev",
		Requests: func() []countersign.Request {
			mu.Lock()
			defer mu.Unlock()
			if *crash && len(open) > 0 {
				panic("the host crashes")
			}
			return append([]countersign.Request(nil), open...)
		},
		Answer: func(id, _ string, a countersign.Approval) error {
			mu.Lock()
			defer mu.Unlock()
			open = open[1:]
			said = append(said, fmt.Sprintf("%s: granted %v scope %s reason %q shown %s for %d ms", id, a.Granted, a.Scope, a.Reason, a.Shown[:20], a.ShownMS))
			return nil
		},
	})
	for _, s := range said {
		host.Say(os.Stderr, "%s", s)
	}
	host.Say(os.Stderr, "ended: %v", err)
}
