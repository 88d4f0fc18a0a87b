package view

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// The descriptors of the helpers.
const (
	fdControl = 3 // both: the session's socket
	fdPlan    = 4 // nsd: the Plan, JSON
	fdInit    = 5 // nsd: init's end of its socket, to be handed on
	fdReady   = 4 // init: pipe, closed when the old root may go
	fdFilters = 5 // init: the Plan again
)

// Main is one of the helpers if args ask for it; it then does not return. It is
// to be called before anything else in main, and in TestMain.
func Main(args []string) (handled bool) {
	if len(args) == 0 {
		return false
	}
	var run func() error
	switch args[0] {
	case CommandNSD:
		run = runNSD
	case CommandInit:
		run = runInit
	case CommandProbe:
		run = runProbe
	default:
		return false
	}
	runtime.LockOSThread()
	// What this process inherited goes no further than it is handed on by name.
	_ = unix.CloseRange(fdControl, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC)
	if err := run(); err != nil {
		fmt.Fprintf(os.Stderr, "countersign %s: %v\n", args[0], err)
		os.Exit(1)
	}
	os.Exit(0)
	return true
}

// readPlan reads the plan from its memory file.
func readPlan(fd int) (Plan, error) {
	f := os.NewFile(uintptr(fd), "plan")
	if fd == fdFilters {
		defer f.Close() // nsd hands it on
	}
	var p Plan
	return p, readJSON(f, &p)
}

func readJSON(f *os.File, to any) error {
	b, err := io.ReadAll(io.NewSectionReader(f, 0, 64<<20))
	if err == nil {
		err = json.Unmarshal(b, to)
	}
	if err != nil {
		return fmt.Errorf("read the plan: %w", err)
	}
	return nil
}
