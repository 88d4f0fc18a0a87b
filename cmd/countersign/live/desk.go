package live

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"time"

	"github.com/countersign/countersign"
	"github.com/countersign/countersign/gate"
	"github.com/countersign/countersign/gateway/budget"
	"github.com/countersign/countersign/session"
	"github.com/countersign/countersign/tui/card"
)

// OpenRequest is one line of `requests --json`: a contract.
type OpenRequest struct {
	ID        string   `json:"id"`
	Session   string   `json:"session"`
	Kind      string   `json:"kind"`
	Summary   string   `json:"summary"`
	Argv      []string `json:"argv"`
	Cwd       string   `json:"cwd"`
	Rule      string   `json:"rule"`
	Reason    string   `json:"reason"`
	Digest    string   `json:"digest"`
	Exe       string   `json:"exe,omitempty"`
	Pending   bool     `json:"pending"`         // the attempt still waits; else a late approval is good for 15 minutes
	Early     bool     `json:"early,omitempty"` // the model has asked for it, its agent has not tried it yet
	WaitingMS int64    `json:"waiting_ms"`
	Confirm   string   `json:"confirm,omitempty"` // the word that an approval must come with
	Last      []string `json:"last,omitempty"`    // the last approved command of its kind
	Lends     []string `json:"lends,omitempty"`   // names of the secrets that it would get
	Debugs    bool     `json:"debugs,omitempty"`  // it may trace what it starts
}

// OpenCard is a request in full: the lines of its card with all details.
type OpenCard struct {
	ID     string   `json:"id"`
	Digest string   `json:"digest"`
	Lines  []string `json:"lines"`
}

// cardWidth is for a terminal of 100 columns and more; narrower ones wrap.
const cardWidth = 100

// show renders one request, which c has in everything but itself.
func show(desk *gate.Desk, c card.Card) session.Handler {
	return func(_ context.Context, raw json.RawMessage, _ []*os.File) (any, error) {
		var id string
		if err := json.Unmarshal(raw, &id); err != nil {
			return nil, err
		}
		for _, r := range desk.Open("") {
			if r.ID != id {
				continue
			}
			out := OpenCard{ID: r.ID, Digest: r.Digest}
			c.Request, c.Details = r, true
			for _, l := range c.Content(cardWidth) {
				out.Lines = append(out.Lines, l.Text)
			}
			return out, nil
		}
		return nil, &countersign.Error{Code: countersign.ENotFound, Op: "show request", Thing: id, Err: errors.New("no such open request"), Remedy: "countersign requests"}
	}
}

type AnswerArgs struct {
	ID       string               `json:"id"`
	Digest   string               `json:"digest"`
	Approval countersign.Approval `json:"approval"`
}

// deskHandlers are the desk's side of the control socket. Argv goes to the
// person in full: it is the person's own machine and what they approve.
func deskHandlers(g *gate.Gate, now func() time.Time) map[string]session.Handler {
	desk := g.Desk()
	return map[string]session.Handler{
		"requests": func(context.Context, json.RawMessage, []*os.File) (any, error) {
			out := []OpenRequest{}
			for _, r := range desk.Open("") {
				out = append(out, describe(r, now()))
			}
			return out, nil
		},
		"answer": func(ctx context.Context, raw json.RawMessage, _ []*os.File) (any, error) {
			var args AnswerArgs
			if err := json.Unmarshal(raw, &args); err != nil {
				return nil, err
			}
			return nil, g.Answer(ctx, args.ID, args.Digest, args.Approval)
		},
		"grants": func(context.Context, json.RawMessage, []*os.File) (any, error) { return desk.Grants(), nil },
		"revoke": func(_ context.Context, raw json.RawMessage, _ []*os.File) (any, error) {
			var reuse string
			if err := json.Unmarshal(raw, &reuse); err != nil {
				return nil, err
			}
			return desk.Revoke(reuse), nil
		},
	}
}

func describe(r countersign.Request, now time.Time) OpenRequest {
	o := OpenRequest{
		ID: r.ID, Session: r.Session, Kind: string(r.Action.Kind), Summary: gate.Summary(r.Action),
		Rule: r.Ruling.Rule, Reason: r.Ruling.Reason, Digest: r.Digest, Pending: r.Pending, Early: r.Early,
		WaitingMS: now.Sub(r.Since).Milliseconds(), Argv: []string{}, Confirm: r.Confirm, Last: r.Last,
		Debugs: r.Ruling.Debugs,
	}
	if e := r.Action.Exec; e != nil {
		o.Argv, o.Cwd, o.Exe, o.Lends = e.Argv, e.Cwd, e.Exe.Path, countersign.LendNames(e.Lends)
	}
	return o
}

// Status is what a live session says of itself.
type Status struct {
	Session   string              `json:"session"`
	Agent     string              `json:"agent"`
	Project   string              `json:"project"`
	Backend   string              `json:"backend"`
	Posture   countersign.Posture `json:"posture"`
	Policy    string              `json:"policy"`
	Preset    string              `json:"preset"`
	Waiting   int                 `json:"waiting"`
	Processes []Process           `json:"processes"`
	Budgets   []budget.Left       `json:"budgets,omitempty"`
	Notes     []session.Note      `json:"notes"` // what of the project is not the same in the session
}

// Process is one command that runs under an approval, or outlived it.
type Process struct {
	PID     int    `json:"pid"`
	Summary string `json:"summary"`
	Covered bool   `json:"covered"`
}

// ShellArgs is what `countersign shell` asks of a live session.
type ShellArgs struct {
	Argv []string `json:"argv"`
	Term string   `json:"term"`
	// TTY says that the descriptors are a terminal made for the command.
	TTY bool `json:"tty"`
}
