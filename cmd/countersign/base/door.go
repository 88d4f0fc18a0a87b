package base

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"iter"
	"net/http"
	"path/filepath"
	"time"

	"github.com/countersign/countersign"
	"github.com/countersign/countersign/gateway"
	"github.com/countersign/countersign/gateway/budget"
	"github.com/countersign/countersign/gateway/gather"
	"github.com/countersign/countersign/gateway/nearby"
	"github.com/countersign/countersign/ledger"
	"github.com/countersign/countersign/policy"
)

// GatewayFile is where the providers of models are named.
func (a *App) GatewayFile() string { return filepath.Join(a.Dirs.Config, "gateway.yaml") }

// Door is what every gateway is made of, a session's own and the standing one;
// who may use it is for the caller to add.
func (a *App) Door(cfg *gateway.Config, l countersign.Ledger, p *policy.Policy) gateway.Options {
	o := gateway.Options{
		Config: cfg, Keys: gateway.Keys(a.KeyStore()), Ledger: Stamped{l, p}, Allow: p.Model, Feature: p.Feature, Now: a.Now, User: Who(),
		LocalOnly: p.Models().LocalOnly(), Secrets: p.Models(),
	}
	if cfg.FindLocal {
		o.Nearby = nearby.New(a.Getenv, a.Now).Find
	}
	if p.Models().Watches() {
		o.Served = p.Models().Served
	}
	return o
}

// Budgets opens the book that keeps the limits of a policy; nil where it has
// none. All sessions and gateways of this user share it.
func (a *App) Budgets(p *policy.Policy) (*budget.Book, error) {
	limits := p.Models().Limits()
	if len(limits) == 0 {
		return nil, nil
	}
	return budget.Open(filepath.Join(a.Dirs.State, "gateway", "spend.jsonl"), limits, a.Now, rand.Reader)
}

// DoorServer serves a gateway: answers may take as long as they take, whoever has
// not said yet who it is may not. Connections of gather write less often.
func DoorServer(h http.Handler) *http.Server {
	return &http.Server{Handler: h, ConnContext: gather.Context, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 10 * time.Minute, MaxHeaderBytes: 256 << 10}
}

// OfSession goes through the records of a session on the ledger. What is not of it
// is not decoded.
func (a *App) OfSession(id string) iter.Seq2[countersign.Record, error] {
	return func(yield func(countersign.Record, error) bool) {
		r, err := ledger.OpenReader(a.LedgerDir())
		if err != nil {
			yield(countersign.Record{}, err)
			return
		}
		for line, err := range r.All() {
			var rec countersign.Record
			if err != nil {
				yield(rec, err)
				return
			}
			if !bytes.Contains(line, []byte(id)) || json.Unmarshal(line, &rec) != nil || rec.Session != id {
				continue
			}
			if !yield(rec, nil) {
				return
			}
		}
	}
}

// OpenCalls finds the requests to models of a session that have no answer on
// record.
func (a *App) OpenCalls(session string) ([]countersign.Record, error) {
	var order []countersign.Record
	open := map[string]bool{}
	for rec, err := range a.OfSession(session) {
		switch {
		case err != nil:
			return nil, err
		case rec.Type == "model.request" && rec.Decision != nil && rec.Decision.Verdict == countersign.Allow:
			order, open[rec.ID] = append(order, rec), true
		case rec.Type == "model.response":
			delete(open, rec.Parent)
		}
	}
	var out []countersign.Record
	for _, rec := range order {
		if open[rec.ID] {
			out = append(out, rec)
		}
	}
	return out, nil
}

// OrphanedCall is the answer's record of a request whose gateway is gone: what
// came of it nobody knows.
func OrphanedCall(req countersign.Record, why string) countersign.Record {
	return countersign.Record{
		Type: "model.response", Session: req.Session, Parent: req.ID, Actor: req.Actor, Agent: req.Agent, Model: req.Model,
		Action: req.Action, Outcome: &countersign.Outcome{Status: "orphaned", Error: why}, Detail: map[string]any{"partial": true},
		Cost: &countersign.Cost{Unknown: "the gateway ended before the answer", Table: "none"},
	}
}
