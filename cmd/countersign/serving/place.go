package serving

import (
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/countersign/countersign"
	"github.com/countersign/countersign/cmd/countersign/base"
	"github.com/countersign/countersign/gateway"
	"github.com/countersign/countersign/internal/loopback"
)

// allowedPlace refuses an address at which tokens and prompts would cross a
// network in clear.
func (s *service) allowedPlace() error {
	host, _, err := net.SplitHostPort(s.opt.Listen)
	switch {
	case err != nil:
		return base.Usage(err)
	case (s.opt.Cert == "") != (s.opt.Key == ""):
		return base.Usage(errors.New("--tls-cert and --tls-key belong together"))
	case s.opt.Cert == "" && !loopback.Is(host):
		return &countersign.Error{Code: countersign.EUsage, Op: "listen on", Thing: s.opt.Listen, Err: errors.New("prompts and tokens would cross the network in clear"), Remedy: "give --tls-cert and --tls-key, or listen on 127.0.0.1"}
	}
	return nil
}

// handler is the gateway, for holders of tokens, with each call counted.
func (s *service) handler() http.Handler {
	door := s.Door(s.config, s.ledger, s.policy)
	door.Session, door.Agent, door.Budget, door.Attempts = s.id, "unknown", s.budgets, s.attempts
	door.Holder = func(token string) (gateway.Holder, bool) {
		t, ok := s.tokens.Find(token)
		return gateway.Holder{Name: t.Name, User: t.User, Project: t.Project}, ok
	}
	if s.opt.Cert == "" {
		door.Named = here
	}
	next := gateway.New(door)
	s.uncounted = next.Close
	go next.Warm()
	return s.calls.of(next)
}

// here reports whether a Host header names this machine's loopback.
func here(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	return loopback.Is(strings.Trim(host, "[]"))
}

// keyPair reads a certificate again when its file has changed: the time of one
// is shorter than that of a standing service.
type keyPair struct {
	cert, key string

	mu   sync.Mutex
	pair *tls.Certificate
	read time.Time // modification time of the file it came from
}

func (k *keyPair) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	fi, err := os.Stat(k.cert)
	if err == nil && k.pair != nil && fi.ModTime().Equal(k.read) {
		return k.pair, nil
	}
	var pair tls.Certificate
	if err == nil {
		pair, err = tls.LoadX509KeyPair(k.cert, k.key)
	}
	switch {
	case err == nil:
		k.pair, k.read = &pair, fi.ModTime()
	case k.pair != nil: // half of a new pair: the next call looks again
		return k.pair, nil
	}
	return k.pair, err
}
