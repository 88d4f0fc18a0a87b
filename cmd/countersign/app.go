package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	countersign "github.com/countersign/countersign"
	"github.com/countersign/countersign/session"
)

// app is what every command works with; nothing of it is global.
type app struct {
	in     *os.File
	out    io.Writer
	err    io.Writer
	getenv func(string) string
	now    func() time.Time
	dirs   session.Dirs
	json   bool
	dir    string // -C
}

// exitCode carries an agent's own exit code through the command tree.
type exitCode int

func (e exitCode) Error() string { return fmt.Sprintf("exit %d", int(e)) }

// Main runs one command line and returns its exit code.
func Main(ctx context.Context, args []string, in *os.File, out, errw io.Writer, getenv func(string) string) int {
	a := &app{in: in, out: out, err: errw, getenv: getenv, now: time.Now}
	dirs, err := session.XDG(getenv)
	if err == nil {
		a.dirs = dirs
		root := a.root()
		root.SetArgs(args)
		root.SetOut(out)
		root.SetErr(errw)
		root.SetIn(in)
		err = root.ExecuteContext(ctx)
	}
	if ctx.Err() != nil && err == nil {
		return 130
	}
	return a.report(err)
}

func (a *app) root() *cobra.Command {
	cmd := &cobra.Command{
		Use:           "countersign",
		Short:         "Run coding agents under approval, with a record",
		Long:          rootHelp,
		SilenceUsage:  true,
		SilenceErrors: true,
		PersistentPreRunE: func(*cobra.Command, []string) error {
			if a.dir == "" {
				return nil
			}
			if err := os.Chdir(a.dir); err != nil {
				return &countersign.Error{Code: countersign.EUsage, Op: "go to", Thing: a.dir, Err: errors.Unwrap(err)}
			}
			return nil
		},
	}
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usage(err) })
	cmd.PersistentFlags().StringVarP(&a.dir, "directory", "C", "", "run as if started in `DIR`")
	cmd.AddCommand(
		a.runCmd(), a.requestsCmd(), a.approveCmd(), a.denyCmd(), a.grantsCmd(),
		a.reviewCmd(), a.shellCmd(), a.stopCmd(), a.sessionsCmd(), a.statusCmd(),
		a.logCmd(), a.verifyCmd(), a.policyCmd(), a.keysCmd(), a.doctorCmd(), a.versionCmd(),
	)
	return cmd
}

const rootHelp = `Countersign runs a coding agent in a sandbox: every command it wants to run waits
for you, every change it makes is reviewed hunk by hunk before your files change,
credential files do not open, and all of it is on a tamper-evident record.

  countersign run -- claude          an agent in this terminal
  countersign requests               what waits for you
  countersign approve ID             answer it from any terminal
  countersign review                 the changes, hunk by hunk
  countersign log                    the record
  countersign verify                 prove that nobody touched it
  countersign doctor                 what this machine can enforce

EXIT STATUS
  0 ok · 1 error · 2 usage · 3 denied · 4 authentication needed · 5 decision
  pending · 6 verification failed · 7 partly applied · 130 interrupted`

// usage marks an error as the caller's.
func usage(err error) error {
	return &countersign.Error{Code: countersign.EUsage, Op: "read the command line", Err: err, Remedy: "see --help"}
}

// exits maps the kinds of error to exit codes; everything else is 1.
var exits = map[countersign.Code]int{
	countersign.EUsage: 2, countersign.EDenied: 3, countersign.EAuth: 4,
	countersign.EPending: 5, countersign.EVerify: 6, countersign.EPartly: 7,
}

// report prints an error the way every command does and returns its exit code.
func (a *app) report(err error) int {
	if err == nil {
		return 0
	}
	var code exitCode
	if errors.As(err, &code) {
		return int(code)
	}
	if errors.Is(err, context.Canceled) {
		return 130
	}
	var known *countersign.Error
	if !errors.As(err, &known) && strings.HasPrefix(err.Error(), "unknown ") {
		err = usage(err)
	}
	fmt.Fprintf(a.err, "countersign: error: %v\n", err)
	for _, line := range strings.Split(countersign.RemedyOf(err), "\n") {
		if line != "" {
			fmt.Fprintf(a.err, "countersign: hint: %s\n", line)
		}
	}
	if n, ok := exits[countersign.CodeOf(err)]; ok {
		return n
	}
	return 1
}

// say is talk: it goes to stderr and cannot be taken for an agent's words.
func (a *app) say(format string, args ...any) {
	fmt.Fprintf(a.err, "countersign: "+format+"\n", args...)
}

// data writes v as indented JSON to stdout.
func (a *app) data(v any) error {
	enc := json.NewEncoder(a.out)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

func (a *app) jsonFlag(cmd *cobra.Command) *cobra.Command {
	cmd.Flags().BoolVar(&a.json, "json", false, "print JSON, a documented contract")
	return cmd
}

// who is the person at this terminal, as the operating system knows them.
func who() string {
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return fmt.Sprintf("uid:%d", os.Getuid())
}

// newID returns n characters of lower-case base 32 without the ambiguous ones.
func newID(n int) string {
	const alphabet = "0123456789abcdefghjkmnpqrstvwxyz"
	b := make([]byte, n)
	rand.Read(b)
	for i := range b {
		b[i] = alphabet[int(b[i])%len(alphabet)]
	}
	return string(b)
}

// uuidV7 returns a UUID version 7 (RFC 9562, section 5.7).
func uuidV7(now time.Time) string {
	var b [16]byte
	rand.Read(b[:])
	ms := uint64(now.UnixMilli())
	for i := range 6 {
		b[i] = byte(ms >> (40 - 8*i))
	}
	b[6], b[8] = b[6]&0x0f|0x70, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

func (a *app) ledgerDir() string { return filepath.Join(a.dirs.State, "ledger") }
