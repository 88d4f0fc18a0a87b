// Package base is what every command works with: the streams, the environment,
// the directories, the ledger, the policy and the project, made once and handed
// on. It prints and asks nothing by itself, holds no session, and decides
// nothing.
package base

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/user"
	"strings"
	"time"

	"github.com/countersign/countersign"
	"github.com/countersign/countersign/internal/redact"
	"github.com/countersign/countersign/session"
	"github.com/countersign/countersign/tui/visible"
)

func (a *App) Human() *countersign.Actor {
	return &countersign.Actor{Kind: "human", ID: Who(), Peer: &countersign.Peer{PID: os.Getpid(), UID: os.Getuid()}}
}

// Note writes one durable record of a person's command.
func (a *App) Note(ctx context.Context, r countersign.Record) error {
	l, err := a.Ledger(ctx)
	if err != nil {
		return err
	}
	defer l.Close()
	_, err = l.Append(ctx, r, true)
	return err
}

func Printable(s string) string {
	b, _ := json.Marshal(s)
	var out string
	_ = json.Unmarshal(b, &out)
	return out
}

// Plain makes hostile text harmless on a terminal.
func Plain(s string) string {
	out, _ := visible.String(s)
	return out
}

// App is what every command works with; nothing of it is global.
type App struct {
	In     *os.File
	Out    io.Writer
	Err    io.Writer
	Getenv func(string) string
	Now    func() time.Time
	Dirs   session.Dirs
	JSON   bool // --json was given
}

// ExitCode carries an agent's own exit code through the command tree.
type ExitCode int

func (e ExitCode) Error() string { return fmt.Sprintf("exit %d", int(e)) }

// Usage marks an error as the caller's.
func Usage(err error) error {
	return &countersign.Error{Code: countersign.EUsage, Op: "read the command line", Err: err, Remedy: "see --help"}
}

// Say is talk: it goes to stderr and cannot be taken for an agent's words.
func (a *App) Say(format string, args ...any) {
	fmt.Fprintf(a.Err, "countersign: "+format+"\n", args...)
}

// mostNotes is how many notes are said at once.
const mostNotes = 8

// SayNotes says which paths are not the same in the session, and why; rest tells
// how all of them are listed.
func (a *App) SayNotes(notes []session.Note, rest string) {
	for _, n := range notes[:min(len(notes), mostNotes)] {
		a.Say("not the same in the session: %s %s", Plain(n.Path), Plain(n.Text))
	}
	if n := len(notes) - mostNotes; n > 0 {
		a.Say("not the same in the session: %d more: %s", n, rest)
	}
}

// Data writes v as indented JSON to stdout.
func (a *App) Data(v any) error {
	enc := json.NewEncoder(a.Out)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// Who is the person at this terminal, as the operating system knows them.
func Who() string {
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return fmt.Sprintf("uid:%d", os.Getuid())
}

// NewID returns n characters of lower-case base 32 without the ambiguous ones.
func NewID(n int) string {
	const alphabet = "0123456789abcdefghjkmnpqrstvwxyz"
	b := make([]byte, n)
	rand.Read(b)
	for i := range b {
		b[i] = alphabet[int(b[i])%len(alphabet)]
	}
	return string(b)
}

// UUIDv7 returns a UUID version 7 (RFC 9562, section 5.7).
func UUIDv7(now time.Time) string {
	var b [16]byte
	rand.Read(b[:])
	ms := uint64(now.UnixMilli())
	for i := range 6 {
		b[i] = byte(ms >> (40 - 8*i))
	}
	b[6], b[8] = b[6]&0x0f|0x70, b[8]&0x3f|0x80
	text := make([]byte, 0, 36)
	for i, part := range [][]byte{b[:4], b[4:6], b[6:8], b[8:10], b[10:]} {
		if i > 0 {
			text = append(text, '-')
		}
		text = hex.AppendEncode(text, part)
	}
	return string(text)
}

// Terminal is the role of a payload that is a part of a terminal's recording.
const Terminal = "terminal"

func Redacted(argv []string) []string { return redact.Argv(argv) }

// Words is a command line for a person: what could pass for several words, or
// for none, stands in single quotes, as a shell would need it.
func Words(argv []string) string {
	out := make([]string, len(argv))
	for i, s := range argv {
		out[i] = Plain(s)
		if s == "" || strings.ContainsAny(s, " \t\n\"'\\$`|&;<>()*?[]{}!#~") {
			out[i] = "'" + strings.ReplaceAll(out[i], "'", `'\''`) + "'"
		}
	}
	return strings.Join(out, " ")
}

func Summary(argv []string) string { return strings.Join(redact.Argv(argv), " ") }

func PlainLines(s string) string {
	lines := strings.Split(strings.TrimRight(s, "\n"), "\n")
	for i := range lines {
		lines[i] = Plain(lines[i])
	}
	return strings.Join(lines, "\n")
}
