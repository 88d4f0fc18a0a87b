package base

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/countersign/countersign"
	"github.com/countersign/countersign/internal/atomicfile"
	"github.com/countersign/countersign/internal/slack"
	"github.com/countersign/countersign/ledger"
	"github.com/countersign/countersign/policy"
)

func (a *App) LedgerDir() string { return filepath.Join(a.Dirs.State, "ledger") }

// Ledger reaches the user's ledger process, starting it if there is none.
func (a *App) Ledger(ctx context.Context) (*ledger.Client, error) {
	if err := a.Dirs.Make(); err != nil {
		return nil, err
	}
	return ledger.Dial(ctx, a.ledgerDirs(), a.spawnLedger)
}

func (a *App) ledgerDirs() ledger.Dirs {
	return ledger.Dirs{State: a.LedgerDir(), Socket: filepath.Join(a.Dirs.Runtime, "ledger.sock")}
}

// spawnLedger starts the ledger process in a session of its own: it outlives
// the command that happened to need it first, and ends with its last client.
func (a *App) spawnLedger(context.Context) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	d := a.ledgerDirs()
	cmd := exec.Command(self, "__ledger", d.State, d.Socket)
	cmd.Dir = "/"
	Detach(cmd)
	if err := slack.With(slack.Usual, cmd.Start); err != nil {
		return fmt.Errorf("start the ledger process: %w", err)
	}
	go cmd.Wait()
	return nil
}

// Stamped is a ledger that writes the policy in force into what comes without.
type Stamped struct {
	countersign.Ledger
	Policy *policy.Policy
}

// Append writes a record with its policy.
func (s Stamped) Append(ctx context.Context, r countersign.Record, durable bool) (countersign.Receipt, error) {
	p := s.Policy.Record("")
	if r.Policy != nil {
		p.Rule = r.Policy.Rule
		if r.Policy.Bundle != "" {
			p.Bundle = r.Policy.Bundle
		}
	}
	r.Policy = p
	return s.Ledger.Append(ctx, r, durable)
}

// DigestKey is the secret of this ledger's keyed hashes, made at first use.
func (a *App) DigestKey() ([]byte, error) {
	path := filepath.Join(a.Dirs.State, "digest.key")
	b, err := os.ReadFile(path)
	if err == nil && len(b) == 32 {
		return b, nil
	}
	if err == nil {
		return nil, &countersign.Error{Code: countersign.EInvalid, Op: "read", Thing: path, Err: fmt.Errorf("it has %d bytes, not 32", len(b)), Remedy: "restore it from a backup; removing it makes old digests with secrets uncheckable"}
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	b = make([]byte, 32)
	rand.Read(b)
	return b, atomicfile.Write(path, b, 0o600)
}
