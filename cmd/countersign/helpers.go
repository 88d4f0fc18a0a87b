package main

import (
	"context"
	"fmt"
	"os"
	"runtime"

	"github.com/countersign/countersign/cmd/countersign/live"
	"github.com/countersign/countersign/cmd/countersign/proving"
	"github.com/countersign/countersign/ledger"
	"github.com/countersign/countersign/sandbox"
	"github.com/countersign/countersign/sandbox/tripwire"
)

// helperProcess runs this program as one of its own helpers, if args say so.
func helperProcess(args []string) (code int, handled bool) {
	if len(args) == 0 {
		return 0, false
	}
	if args[0] == "__ledger" && len(args) == 3 {
		// What comes is written one after the other. Where there are two processors, the
		// second would be woken for what the first has done before it is up, and it is
		// the gateway's.
		runtime.GOMAXPROCS(max(1, runtime.GOMAXPROCS(0)/2))
		err := ledger.Serve(context.Background(), ledger.Dirs{State: args[1], Socket: args[2]}, ledger.ServeOptions{})
		if err != nil {
			fmt.Fprintln(os.Stderr, "countersign: ledger:", err)
			return 1, true
		}
		return 0, true
	}
	if args[0] == "__guard" {
		return live.RunGuard(), true
	}
	if code, handled := proving.Helper(args); handled {
		return code, true
	}
	return 0, sandbox.Main(args) || tripwire.Main(args)
}
