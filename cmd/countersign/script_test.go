package main

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/countersign/countersign"
	"github.com/countersign/countersign/cmd/countersign/base"
	"github.com/countersign/countersign/ledger"
	"github.com/countersign/countersign/session"
	"github.com/countersign/countersign/tui/cast"
	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	if code, helper := helperProcess(os.Args[1:]); helper {
		os.Exit(code)
	}
	testscript.Main(m, map[string]func(){"countersign": main})
}

// Every command, as a person types it: testdata/script/*.txt.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(e *testscript.Env) error {
			home := filepath.Join(e.WorkDir, "home")
			e.Setenv("HOME", home)
			for _, v := range []string{"STATE_HOME", "CONFIG_HOME", "CACHE_HOME", "RUNTIME_DIR"} {
				dir := filepath.Join(e.WorkDir, "xdg", v)
				e.Setenv("XDG_"+v, dir)
				if err := os.MkdirAll(dir, 0o700); err != nil {
					return err
				}
			}
			e.Setenv("GIT_CONFIG_GLOBAL", "/dev/null")
			return os.MkdirAll(home, 0o700)
		},
		RequireUniqueNames: true,
		Cmds:               map[string]func(ts *testscript.TestScript, neg bool, args []string){"exits": exitsWith, "records": records, "recording": recording},
	})
}

// exitsWith runs a command that must end with an exact exit code: exits N command….
func exitsWith(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits N command…")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	if ee := (*exec.ExitError)(nil); errors.As(err, &ee) {
		got = ee.ExitCode()
	} else if err != nil {
		ts.Fatalf("%v", err)
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

// records puts records on the ledger, one JSON a line: records FILE.
func records(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: records FILE")
	}
	l := ledgerOf(ts)
	defer l.Close()
	for _, line := range strings.Split(strings.TrimSpace(ts.ReadFile(args[0])), "\n") {
		var r countersign.Record
		ts.Check(json.Unmarshal([]byte(strings.ReplaceAll(line, "$WORK", ts.Getenv("WORK"))), &r))
		_, err := l.Append(context.Background(), r, true)
		ts.Check(err)
	}
}

func ledgerOf(ts *testscript.TestScript) *ledger.Client {
	dirs, err := session.XDG(ts.Getenv)
	ts.Check(err)
	app := &base.App{Dirs: dirs, Getenv: ts.Getenv, Now: time.Now, Err: os.Stderr}
	l, err := app.Ledger(context.Background())
	ts.Check(err)
	return l
}

// recording puts files on the ledger as the parts of a session's terminal, begun
// a minute ago: recording SESSION FILE….
func recording(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: recording SESSION FILE…")
	}
	l := ledgerOf(ts)
	defer l.Close()
	started := time.Now().Add(-time.Minute).UTC().Format(time.RFC3339Nano)
	for i, file := range args[1:] {
		if file == "lost" {
			continue
		}
		_, err := l.Append(context.Background(), countersign.Record{
			Type: "terminal.recorded", Session: args[0], Detail: map[string]any{"part": i + 1, "started": started},
			Payloads: []countersign.Payload{{Role: base.Terminal, Media: cast.Media, Plain: []byte(ts.ReadFile(file))}},
		}, true)
		ts.Check(err)
	}
}
