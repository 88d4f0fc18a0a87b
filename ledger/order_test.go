//go:build linux

package ledger_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/countersign/countersign/ledger"
)

// The kernel's own view: between two answers to a client that asked for durable
// records stand the write of the record and a flush that has returned 0.
func TestNoAnswerBeforeItsFlush(t *testing.T) {
	if _, err := exec.LookPath("strace"); err != nil {
		t.Skip("strace is not installed: the order is not looked at")
	}
	dir := t.TempDir()
	trace := filepath.Join(dir, "trace")
	c, p := dial(t, dir, "strace", "-f", "-qq", "-s", "8", "-o", trace, "-e", "trace=fdatasync,pwrite64,write")
	const n = 30
	for i := range n {
		if _, err := c.Append(t.Context(), rec(i), true); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if err := p.wait(t); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(trace)
	if err != nil {
		t.Fatal(err)
	}
	answers, early := order(string(b))
	if answers < n || early > 0 {
		t.Errorf("%d answers, %d before their flush", answers, early)
	}
	// The check itself must see a missing flush.
	if _, early := order(strings.ReplaceAll(string(b), "fdatasync", "fsync")); early < n {
		t.Errorf("without any flush the check finds only %d answers that came early", early)
	}
	sound(t, dirs(dir).State, ledger.VerifyOptions{})
}

var (
	answer  = regexp.MustCompile(` write\(.*, "\\0\\0\\0-o`) // 45 bytes: okay, number, id
	flushed = regexp.MustCompile(`fdatasync(\(| resumed).*= 0`)
	wrote   = regexp.MustCompile(`pwrite64\(`)
)

// order counts the answers that carry a record, and those of them that came
// before a flush had returned since the last write.
func order(trace string) (answers, early int) {
	written, durable := false, false
	for line := range strings.Lines(trace) {
		switch {
		case wrote.MatchString(line):
			written, durable = true, false
		case flushed.MatchString(line):
			durable = written
		case answer.MatchString(line) && written:
			answers++
			if !durable {
				early++
			}
			written, durable = false, false
		}
	}
	return answers, early
}
