// Package reading chooses records of the ledger and shows them to a person, the same
// for every command that reads.
//
// It promises that what cannot match is said and not taken for a silence: a type
// that no record can have, a session that there never was. It writes nothing.
package reading

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/countersign/countersign"
	"github.com/countersign/countersign/cmd/countersign/base"
	"github.com/countersign/countersign/internal/nearest"
	"github.com/countersign/countersign/ledger"
)

// Filter is which records are wanted.
type Filter struct {
	Session string   // begins so; empty: of any, and of none
	Types   []string // any of them; a trailing * matches the rest. None: all
	Grep    string   // stands in the leaf
	Since   time.Time
}

// Since reads a time (RFC 3339) or a duration before now; the zero time where there
// is none.
func Since(s string, now time.Time) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	if d, err := time.ParseDuration(s); err == nil {
		return now.Add(-d), nil
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return t, base.Usage(fmt.Errorf("--since %q is neither a time (2026-01-31T12:00:00Z) nor a duration (2h)", s))
	}
	return t, nil
}

// Wants reports whether r, whose leaf is line, is chosen.
func (f Filter) Wants(r countersign.Record, line []byte) bool {
	if f.Session != "" && !strings.HasPrefix(r.Session, f.Session) {
		return false
	}
	if f.Grep != "" && !bytes.Contains(line, []byte(f.Grep)) {
		return false
	}
	if !f.Since.IsZero() {
		if t, err := time.Parse(time.RFC3339Nano, r.T.Wall); err != nil || t.Before(f.Since) {
			return false
		}
	}
	if len(f.Types) == 0 {
		return true
	}
	for _, t := range f.Types {
		if matches(t, r.Type) {
			return true
		}
	}
	return false
}

func matches(pattern, typ string) bool {
	prefix, open := strings.CutSuffix(pattern, "*")
	return pattern == typ || open && strings.HasPrefix(typ, prefix)
}

// Check refuses what no record can match. What this version knows nothing of, the
// ledger may still hold, from another version or of a discarded session.
func (f Filter) Check(a *base.App) error {
	known := countersign.RecordTypes()
	missing := slices.DeleteFunc(slices.Clone(f.Types), func(t string) bool {
		return slices.ContainsFunc(known, func(k string) bool { return matches(t, k) })
	})
	session := f.Session
	if session != "" {
		kept, err := a.Dirs.List()
		if err != nil {
			return err
		}
		for _, k := range kept {
			if strings.HasPrefix(k.ID, session) {
				session = ""
			}
		}
	}
	if len(missing) == 0 && session == "" {
		return nil
	}
	if err := onLedger(a, &missing, &session); err != nil {
		return err
	}
	switch {
	case len(missing) > 0:
		return unknownType(missing[0], known)
	case session != "":
		return &countersign.Error{
			Code: countersign.ENotFound, Op: "find session", Thing: session, Err: errors.New("no such session, and no record of one"),
			Remedy: "`countersign sessions` lists them; `countersign log --type session.started` those that were discarded too",
		}
	}
	return nil
}

// onLedger takes away what some record matches.
func onLedger(a *base.App, types *[]string, session *string) error {
	r, err := ledger.OpenReader(a.LedgerDir())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for line, err := range r.All() {
		if err != nil {
			return err
		}
		var rec struct{ Type, Session string }
		if err := json.Unmarshal(line, &rec); err != nil {
			return fmt.Errorf("read record: %w", err)
		}
		*types = slices.DeleteFunc(*types, func(t string) bool { return matches(t, rec.Type) })
		if rec.Session != "" && strings.HasPrefix(rec.Session, *session) {
			*session = ""
		}
		if len(*types) == 0 && *session == "" {
			return nil
		}
	}
	return nil
}

func unknownType(typ string, known []string) error {
	e := &countersign.Error{Code: countersign.EUsage, Op: "read the command line", Thing: "--type " + typ, Err: errors.New("there is no such type of record")}
	if near := nearest.Of(strings.TrimSuffix(typ, "*"), known); len(near) > 0 {
		e.Remedy = "the nearest: " + strings.Join(near, ", ") + "\n"
	}
	of, _, _ := strings.Cut(typ, ".")
	var families, kin []string
	for _, k := range known {
		family, _, _ := strings.Cut(k, ".")
		families = append(families, family+".*")
		if family == of {
			kin = append(kin, k)
		}
	}
	if len(kin) > 0 {
		e.Remedy += "of " + of + ".* there are " + strings.Join(kin, ", ") + "\n"
	}
	e.Remedy += "known are " + strings.Join(slices.Compact(families), ", ") + "; docs/formats/record.md says what each is"
	return e
}
