package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	countersign "github.com/countersign/countersign"
	"github.com/countersign/countersign/gateway"
	"github.com/countersign/countersign/internal/dnsstub"
	"github.com/countersign/countersign/sandbox"
	"github.com/countersign/countersign/sandbox/execgate"
	"github.com/countersign/countersign/sandbox/tripwire"
	"github.com/countersign/countersign/session"
)

// gatewayPort is where the model door stands inside every session, on the
// loopback of its own network namespace.
const gatewayPort = 4141

// prepareEnv makes the agent's home, token and environment.
func (s *live) prepareEnv() error {
	s.token = "cs-" + newID(40)
	s.home = filepath.Join(s.projectState(s.project.Root), "homes", s.opt.agent)
	lock, err := lockHome(&s.home, s.id)
	if err != nil {
		return err
	}
	s.closers.Add(func() { lock.Close() })
	kept, removed := sandbox.EnvAllow(os.Environ(), nil)
	settings := settingsFor(s.opt.agent, fmt.Sprintf("http://127.0.0.1:%d", gatewayPort), s.token)
	s.env, s.removed = append(kept, settings.env...), removed
	s.env = append(s.env, "COUNTERSIGN_SESSION="+s.id)
	return settings.plant(s.home)
}

// startBox starts the sandbox with the agent waiting before its first
// instruction, and lays the tripwires.
func (s *live) startBox() error {
	home := s.getenv("HOME")
	tty := s.opt.approver == "tty"
	box, err := sandbox.Start(s.ctx, sandbox.Config{
		Argv: s.opt.argv, Env: s.env, Dir: s.workDir(), Home: home, HomeSource: s.home,
		Mounts: s.staging.Mounts(), ReadOnly: s.staging.ReadOnly(), Toolchains: sandbox.Toolchains(s.getenv("PATH"), home),
		TTY: tty, Stdin: s.in, Stdout: os.Stdout, Stderr: os.Stderr, GatewayPort: gatewayPort,
		RequireFuse: s.posture.Tier == "A",
	})
	if err != nil {
		return err
	}
	s.box = box
	s.closers.Add(box.Kill)
	return s.layTripwires()
}

// workDir is where the agent starts: where the person stood.
func (s *live) workDir() string {
	if dir, err := os.Getwd(); err == nil {
		return dir
	}
	return s.project.Root
}

// layTripwires puts a node over every denied path, its aliases, and the
// well-known places of the home.
func (s *live) layTripwires() error {
	if s.box.Fuse != nil {
		self, err := os.Executable()
		if err != nil {
			return err
		}
		if s.trips, err = tripwire.Start(s.ctx, self, s.box.Fuse, s.tripped); err != nil {
			return err
		}
		s.closers.Add(func() { s.trips.Close() })
		go func() {
			<-s.trips.Done()
			if err := s.trips.Err(); err != nil && s.ctx.Err() == nil {
				s.fail(fmt.Errorf("the tripwire server ended: %w", err))
			}
		}()
	}
	for _, t := range s.staging.Tripwires() {
		if err := s.lay(filepath.Join(s.project.Root, t.Path), t.Rule, t.Attr(), t.Dir); err != nil {
			return err
		}
	}
	return s.layHome()
}

// layHome lays nodes at the well-known places of the home, there or not: an
// attempt is an event, not a silent "no such file".
func (s *live) layHome() error {
	home := s.getenv("HOME")
	for _, place := range s.policy.HomeTripwires() {
		path := filepath.Join(home, trimHome(place))
		rule, denied := s.policy.Path(place)
		if !denied {
			continue
		}
		attr, err := tripwire.Attrs(path)
		if err != nil {
			attr = absentAttr(place, s.now())
		}
		if err := s.lay(path, rule.ID, attr, attr.Dir); err != nil {
			return err
		}
	}
	return nil
}

// lay puts one node over a path inside, or a mask where there is no FUSE.
func (s *live) lay(path, rule string, attr tripwire.Attr, dir bool) error {
	s.mu.Lock()
	if _, done := s.nodes[path]; done {
		s.mu.Unlock()
		return nil
	}
	s.nextID++
	id := s.nextID
	s.nodes[path] = id
	s.mu.Unlock()
	if s.trips == nil {
		return s.box.Mask(path, dir)
	}
	if err := s.trips.Add(tripwire.Node{ID: id, Path: path, Rule: rule, Attr: attr}); err != nil {
		return err
	}
	return s.box.AddTripwire(id, path, dir)
}

// startDoors opens the model door, the name stub, the supervisor, the watcher
// and the control socket.
func (s *live) startDoors() error {
	if err := s.startGateway(); err != nil {
		return err
	}
	if s.box.DNS != nil {
		s.closers.Add(func() { s.box.DNS.Close() })
		go dnsstub.Serve(s.box.DNS, s.askedName)
	}
	sup, err := execgate.New(execgate.Config{
		Listener: s.box.Listener, Judge: judge{s.gate, s.fail}, Pinner: s.box, Session: s.id, Env: s.env,
		Writable: s.box.Writable, Launch: execgate.Launch{Argv: s.opt.argv}, Log: s.log,
	})
	if err != nil {
		return err
	}
	s.sup = sup
	go func() {
		if err := sup.Run(s.ctx); err != nil && s.ctx.Err() == nil {
			s.fail(fmt.Errorf("the supervisor ended: %w", err))
		}
	}()
	go s.watch()
	return session.Serve(s.ctx, s.dirs.Socket(s.id), s.handlers())
}

// startGateway serves the model door on the listener that init made inside.
func (s *live) startGateway() error {
	cfg, err := gateway.Load(filepath.Join(s.dirs.Config, "gateway.yaml"))
	if err != nil {
		return err
	}
	if len(cfg.Providers) == 0 && s.opt.approver == "tty" && !s.opt.own {
		s.noKeyHint()
	}
	srv := &http.Server{
		Handler: gateway.New(gateway.Options{
			Config: cfg, Keys: gateway.Keys{Dir: s.keysDir()}, Ledger: s.ledger, Allow: s.policy.Model,
			Session: s.id, Agent: s.opt.agent, Token: s.token, Now: s.now,
		}),
		ReadHeaderTimeout: time.Minute,
	}
	go func() {
		if err := srv.Serve(s.box.Gateway); !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) && s.ctx.Err() == nil {
			s.log.Warn("the gateway ended", "err", err)
		}
	}()
	s.closers.Add(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		_ = srv.Shutdown(ctx)
	})
	return nil
}

// absentAttr is how a well-known place looks that is not there.
func absentAttr(place string, now time.Time) tripwire.Attr {
	a := tripwire.Attr{Mode: 0o100600, Nlink: 1, Mtime: now, Ctime: now, Atime: now, UID: uint32(os.Getuid()), GID: uint32(os.Getgid())}
	if place[len(place)-1] == '/' {
		a.Mode, a.Nlink, a.Dir = 0o040700, 2, true
	}
	return a
}

func trimHome(place string) string {
	return filepath.Clean(place[len("~/"):])
}
