// Command countersign runs coding agents under the umbrella: it parses the
// command line, makes every concrete thing and hands it to the rooms, and turns
// errors into exit codes. It and the rooms below it are the only ones that know
// every type, and the only ones that read the environment. It decides nothing
// itself.
package main

import (
	"context"
	"log"
	"os"
	"os/signal"
	"syscall"
)

func main() { os.Exit(run()) }

func run() int {
	if code, helper := helperProcess(os.Args[1:]); helper {
		return code
	}
	log.SetOutput(stray{os.Stderr})
	ends := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) { // under nohup it stays ignored
		ends = append(ends, syscall.SIGHUP)
	}
	ctx, stop := signal.NotifyContext(context.Background(), ends...)
	defer stop()
	return Main(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr, os.Getenv)
}
