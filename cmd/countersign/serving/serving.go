package serving

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/countersign/countersign"
	"github.com/countersign/countersign/cmd/countersign/base"
	"github.com/countersign/countersign/gateway"
	"github.com/countersign/countersign/gateway/attempts"
	"github.com/countersign/countersign/gateway/budget"
	"github.com/countersign/countersign/gateway/gather"
	"github.com/countersign/countersign/gateway/tokens"
	"github.com/countersign/countersign/internal/heap"
	"github.com/countersign/countersign/ledger"
	"github.com/countersign/countersign/policy"
)

// Options are the words of `countersign gateway`.
type Options struct {
	Listen string // host:port; port 0 takes a free one
	Policy string // file in place of the user's layer, or empty
	Cert   string // PEM files; empty: plain HTTP, on the loopback only
	Key    string
	Drain  time.Duration // patience with open answers after it was told to end
}

// service is one standing gateway, made in order and undone in reverse.
type service struct {
	*base.App
	opt Options
	id  string

	policy   *policy.Policy
	config   *gateway.Config
	ledger   *ledger.Client
	tokens   *tokens.Store
	budgets  *budget.Book // nil where the policy has none
	attempts *attempts.Book
	listener net.Listener
	url      string

	calls     calls
	uncounted func() // puts on record what is only counted yet
	cut       context.CancelCauseFunc
	closers   []func()
}

// Store is where the tokens of this user's standing gateway are.
func Store(a *base.App) *tokens.Store {
	return tokens.Open(filepath.Join(a.Dirs.State, "gateway", "tokens.json"), a.Now)
}

// heapFloor is where the first collection begins, in bytes: what the heap comes to
// anyway with some hundred streams under way.
const heapFloor = 48 << 20

// Run serves until ctx ends; ready is told the address once anybody may call.
// It returns nil after an end in order.
func Run(ctx context.Context, a *base.App, o Options, ready func(url string)) (err error) {
	heap.Floor(heapFloor)
	s := &service{App: a, opt: o, id: "gw" + base.NewID(8), tokens: Store(a)}
	defer func() {
		for i := len(s.closers) - 1; i >= 0; i-- {
			s.closers[i]()
		}
	}()
	if err := s.check(); err != nil {
		return err
	}
	if err := s.listen(); err != nil {
		return err
	}
	if err := s.open(ctx); err != nil {
		return err
	}
	if err := s.announce(ctx); err != nil {
		return err
	}
	err = s.serve(ctx, ready)
	return errors.Join(err, s.goodbye(err))
}

// check does what can fail without a trace.
func (s *service) check() (err error) {
	if err := s.allowedPlace(); err != nil {
		return err
	}
	if s.policy, err = s.LoadPolicy(s.opt.Policy, ""); err != nil {
		return err
	}
	if s.config, err = gateway.Load(s.GatewayFile()); err != nil {
		return err
	}
	if s.budgets, err = s.Budgets(s.policy); err != nil {
		return err
	}
	if s.budgets != nil {
		s.closers = append(s.closers, s.budgets.Close)
	}
	if len(s.config.Providers) == 0 {
		s.Say("no provider is in %s: every model is refused", s.GatewayFile())
	}
	if all, err := s.tokens.List(); err != nil {
		return err
	} else if len(all) == 0 {
		s.Say("nobody has a token yet: `countersign gateway token --name NAME` prints one")
	}
	return nil
}

// open reaches the ledger and closes what a killed gateway left open there.
func (s *service) open(ctx context.Context) (err error) {
	if s.ledger, err = s.Ledger(ctx); err != nil {
		return err
	}
	s.closers = append(s.closers, func() { s.ledger.Close() })
	key, err := s.DigestKey()
	if err != nil {
		return err
	}
	if s.attempts, err = attempts.Open(filepath.Join(s.Dirs.State, "gateway", "attempts.jsonl"), derive(key, "attempts"), s.Now); err != nil {
		return err
	}
	s.closers = append(s.closers, s.attempts.Close)
	return s.hold(ctx)
}

// derive makes a key for one use of the one that this user's digests have.
func derive(key []byte, use string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte("countersign gateway " + use))
	return h.Sum(nil)
}

func (s *service) listen() (err error) {
	if s.listener, err = net.Listen("tcp", s.opt.Listen); err != nil {
		return &countersign.Error{Code: countersign.EUsage, Op: "listen on", Thing: s.opt.Listen, Err: err, Remedy: "choose another --listen ADDRESS; port 0 takes a free one"}
	}
	s.listener = gather.Listen(s.listener)
	s.closers = append(s.closers, func() { s.listener.Close() })
	s.url = "http://" + s.listener.Addr().String()
	if s.opt.Cert == "" {
		return nil
	}
	pair := &keyPair{cert: s.opt.Cert, key: s.opt.Key}
	if _, err := pair.get(nil); err != nil {
		return &countersign.Error{Code: countersign.EUsage, Op: "read the certificate", Thing: s.opt.Cert, Err: err, Remedy: "--tls-cert and --tls-key name PEM files that belong together"}
	}
	s.listener = tls.NewListener(s.listener, &tls.Config{GetCertificate: pair.get, NextProtos: []string{"h2", "http/1.1"}})
	s.url = "https://" + named(s.listener.Addr())
	return nil
}

// named is an address under which others may reach it: that of every interface
// is nobody's.
func named(a net.Addr) string {
	host, port, err := net.SplitHostPort(a.String())
	if ip := net.ParseIP(host); err != nil || ip == nil || !ip.IsUnspecified() {
		return a.String()
	}
	name, err := os.Hostname()
	if err != nil {
		name = "localhost"
	}
	return net.JoinHostPort(name, port)
}

// announce puts the start on record; only then may anything be served.
func (s *service) announce(ctx context.Context) error {
	var providers []string
	for _, p := range s.config.Providers {
		if len(providers) < 64 {
			providers = append(providers, p.Name)
		}
	}
	bundle := s.policy.Record("")
	for _, r := range []countersign.Record{
		{Type: "policy.activated", Session: s.id, Actor: s.Human(), Policy: bundle},
		{Type: "gateway.started", Session: s.id, Actor: s.Human(), Policy: bundle, Detail: map[string]any{
			"listen": s.listener.Addr().String(), "tls": s.opt.Cert != "", "providers": providers, "pid": os.Getpid(), "local_only": s.policy.Models().LocalOnly() != nil,
		}},
	} {
		if _, err := s.ledger.Append(ctx, r, true); err != nil {
			return err
		}
	}
	return nil
}

// serve serves until ctx ends or the ledger is gone.
func (s *service) serve(ctx context.Context, ready func(string)) error {
	run, cut := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cut(nil)
	s.cut = cut
	srv := base.DoorServer(s.handler())
	srv.BaseContext = func(net.Listener) context.Context { return run }
	srv.ErrorLog = log.New(s.Err, "countersign: ", 0)
	ended := make(chan error, 1)
	go func() { ended <- srv.Serve(s.listener) }()
	ready(s.url)
	select {
	case <-ctx.Done():
		return s.drain(srv)
	case <-s.ledger.Closed():
		err := s.ledger.Err()
		cut(gateway.ErrStopped)
		s.shutdown(srv, 2*time.Second) // so that who waits is told why
		return &countersign.Error{Code: countersign.EClosed, Op: "go on with gateway", Thing: s.id, Err: fmt.Errorf("the ledger process is gone or cannot write: %w", err), Remedy: "see to the disk (`countersign verify`), then start it again: the next start records what it finds"}
	case err := <-ended:
		cut(gateway.ErrStopped)
		s.shutdown(srv, 2*time.Second)
		return err
	}
}

// drain lets open answers come to their end, for as long as the patience lasts.
func (s *service) drain(srv *http.Server) error {
	if s.shutdown(srv, s.opt.Drain) {
		return nil
	}
	s.Say("cut off what was still open after %v", s.opt.Drain)
	s.cut(gateway.ErrStopped)
	s.shutdown(srv, 5*time.Second)
	return nil
}

// shutdown reports whether every call had its end and its record.
func (s *service) shutdown(srv *http.Server, patience time.Duration) bool {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	over := s.calls.end()
	_ = srv.Shutdown(ctx) // whether all is over, the calls say better
	select {
	case <-over:
	case <-ctx.Done():
	}
	select { // a connection without a call may have outlasted the patience
	case <-over:
		return true
	default:
		return false
	}
}

// goodbye records the end; a ledger that is gone cannot.
func (s *service) goodbye(why error) error {
	if s.ledger.Err() != nil {
		return nil
	}
	o := &countersign.Outcome{Status: "ok"}
	if why != nil {
		o = &countersign.Outcome{Status: "failed", Error: base.Plain(why.Error())}
	}
	if s.uncounted != nil {
		s.uncounted()
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	_, err := s.ledger.Append(ctx, countersign.Record{
		Type: "gateway.ended", Session: s.id, Actor: &countersign.Actor{Kind: "system"}, Policy: s.policy.Record(""),
		Outcome: o, Detail: map[string]any{"ended_by": "countersign"},
	}, true)
	if err == nil {
		s.release()
	}
	return err
}
