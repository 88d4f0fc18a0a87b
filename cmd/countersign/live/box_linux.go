//go:build amd64 || arm64

package live

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/countersign/countersign"
	"github.com/countersign/countersign/cmd/countersign/agents"
	"github.com/countersign/countersign/cmd/countersign/base"
	"github.com/countersign/countersign/cmd/countersign/knowing"
	"github.com/countersign/countersign/gateway"
	"github.com/countersign/countersign/gateway/gather"
	"github.com/countersign/countersign/internal/dnsstub"
	"github.com/countersign/countersign/internal/gitkeys"
	"github.com/countersign/countersign/profile"
	"github.com/countersign/countersign/sandbox"
	"github.com/countersign/countersign/sandbox/execgate"
	"github.com/countersign/countersign/sandbox/execgate/names"
	"github.com/countersign/countersign/sandbox/tripwire"
	"github.com/countersign/countersign/session"
	"github.com/countersign/countersign/workspace/gitview"
	"github.com/countersign/countersign/workspace/stage"
)

// gatewayPort is where the model door stands inside every session, on the
// loopback of its own network namespace.
const gatewayPort = 4141

// prepareEnv makes the agent's home, token and environment.
func (s *live) prepareEnv() error {
	s.token = "cs-" + base.NewID(40)
	s.home = filepath.Join(s.ProjectState(s.project.Root), "homes", s.opt.Agent)
	lock, err := lockHome(&s.home, s.id)
	if err != nil {
		return err
	}
	s.parts.Add(func() { lock.Close() })
	kept, removed := sandbox.EnvAllow(os.Environ(), nil)
	standard, err := profile.Standard()
	if err != nil {
		return err
	}
	door := profile.Door{URL: fmt.Sprintf("http://127.0.0.1:%d", gatewayPort), Token: s.token, Home: s.Getenv("HOME")}
	s.env, s.removed = append(kept, s.profile.Environment(door, standard)...), removed
	// Without lazy fetching git does not look for the objects that were left out.
	s.env = append(s.env, "COUNTERSIGN_SESSION="+s.id, "GIT_NO_LAZY_FETCH=1")
	s.env = append(append(s.env, sandbox.EnvExtra()...), proxyEnv(s.policy)...)
	return agents.Furnish(s.profile, door, s.home, s.Getenv("HOME"), func(name string) bool {
		_, denied := s.policy.Path("~/" + name)
		return denied
	})
}

// beginBox starts the sandbox's helpers, which build the view while the tree is
// staged. Nothing of the agent runs before startBox.
func (s *live) beginBox() error {
	home := s.Getenv("HOME")
	self, err := os.Executable()
	if err != nil {
		return err
	}
	s.toolchains = sandbox.Toolchains(s.Getenv("PATH")+":"+filepath.Dir(s.opt.Argv[0]), home)
	s.box, err = sandbox.Begin(s.ctx, sandbox.Config{
		Exe: self, Home: home, HomeSource: s.home, ReadOnly: s.toolchains,
		Caches: agents.FreshCaches(s.ctx, sandbox.Caches(home, filepath.Join(s.home+".caches"), os.Environ())),
		OnFuse: func(f *os.File) error { return s.serveTripwires(self, f) }, RequireFuse: s.posture.Tier == "A",
		Gate: true, GatewayPort: gatewayPort, Listen: doorPorts(s.policy),
	})
	if err != nil {
		return err
	}
	s.parts.Add(s.box.Kill)
	s.homeLaid = make(chan error, 1)
	go func() { s.homeLaid <- s.layHome(home) }()
	return nil
}

// serveNodes has the server answer for nodes, and says where they are to be laid.
func (s *live) serveNodes(nodes []tripwire.Node) ([]sandbox.Trip, error) {
	trips := make([]sandbox.Trip, len(nodes))
	for i, n := range nodes {
		trips[i] = sandbox.Trip{ID: n.ID, Path: n.Path, Dir: n.Attr.Dir}
		if n.Attr.Mode>>12 == 0o10 { // a plain file
			s.trial.Denied = n.Path
		}
	}
	if err := s.box.Served(); err != nil || s.trips == nil {
		return trips, err
	}
	if err := s.trips.Add(nodes...); err != nil {
		return nil, fmt.Errorf("lay the tripwires: %w", err)
	}
	return trips, nil
}

// startBox finishes the sandbox, with the agent waiting before its first
// instruction, every denied path already under its tripwire.
func (s *live) startBox() error {
	if err := <-s.homeLaid; err != nil {
		return err
	}
	trips, err := s.serveNodes(append(s.projectNodes(), s.homeNodes(s.Getenv("HOME"), true)...))
	if err != nil {
		return err
	}
	rows, cols := s.terminalSize()
	err = s.box.Finish(sandbox.Config{
		Argv: s.opt.Argv, Env: s.env, Dir: s.workDir(), Mounts: s.staging.Mounts(), Tripwires: trips,
		TTY: s.opt.Approver == "tty", Rows: rows, Cols: cols, Stdin: s.In, Stdout: os.Stdout, Stderr: os.Stderr,
	})
	if err != nil {
		return err
	}
	for _, n := range s.box.Notes {
		s.log.Info("view", "note", n)
	}
	s.holdGit()
	return errors.Join(s.shelve(), s.freeze(), s.guardTexts())
}

// shelve has the objects that stand in for withheld blobs served from shelves, so
// that whoever reads one is on record. Without a server they are plain files.
func (s *live) shelve() error {
	if s.trips == nil {
		return nil
	}
	for _, w := range s.staging.Git().Withheld() {
		if len(w.Paths) == s.shelved[w.Dir] {
			continue
		}
		top := s.shelf(w.Dir)
		var files []tripwire.Shelved
		for id, rel := range w.Paths {
			n := s.node(filepath.Join(s.project.Root, rel), s.denyRule(rel), tripwire.Attr{})
			files = append(files, tripwire.Shelved{Dir: id[:2], Name: id[2:], Content: gitview.Loose(id), Node: n.ID, Path: n.Path, Rule: n.Rule})
		}
		if s.shelved[w.Dir] == 0 {
			if err := s.trips.Add(top); err != nil {
				return err
			}
		}
		if err := s.trips.Shelve(top.ID, files); err != nil {
			return err
		}
		if s.shelved[w.Dir] == 0 {
			if err := s.box.AddTripwire(sandbox.Trip{ID: top.ID, Path: w.Dir, Dir: true}); err != nil {
				return err
			}
		}
		s.shelved[w.Dir] = len(w.Paths)
	}
	return nil
}

// shelf is a node that looks like a directory of the session's, and is not to be
// changed from inside.
func (s *live) shelf(path string) tripwire.Node {
	return s.node(path, frozen, s.directory(path, frozen).Attr)
}

func (s *live) directory(path, rule string) tripwire.Node {
	now := s.Now()
	return tripwire.Node{Path: path, Rule: rule, Attr: tripwire.Attr{Mode: 0o040555, Nlink: 2, Dir: true, Mtime: now, Ctime: now, Atime: now, UID: uint32(os.Getuid()), GID: uint32(os.Getgid())}}
}

// denyRule is the id of the rule that denies a path of the project, or a directory
// above it.
func (s *live) denyRule(rel string) string {
	denied := base.DeniedBy(s.policy)
	for p := rel; p != "."; p = filepath.Dir(p) {
		if rule, is := denied(p); is {
			return rule
		}
	}
	return ""
}

// workDir is where the agent starts: where the person stood.
func (s *live) workDir() string {
	if dir, err := os.Getwd(); err == nil {
		return dir
	}
	return s.project.Root
}

// writable says whether the session can write at a path of its view: everywhere
// but in the system's directories and the toolchains.
func (s *live) writable(path string) bool {
	under := func(dir string) bool {
		rest, ok := strings.CutPrefix(path, dir)
		return ok && (rest == "" || rest[0] == '/')
	}
	system := [...]string{"/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/etc", "/opt"}
	return under(s.project.Root) || !slices.ContainsFunc(system[:], under) && !slices.ContainsFunc(s.toolchains, under)
}

// serveTripwires starts the node server on the mounted descriptor.
func (s *live) serveTripwires(self string, fuse *os.File) error {
	trips, err := tripwire.Start(s.ctx, self, fuse, s.tripped)
	if err != nil {
		return err
	}
	s.trips = trips
	s.parts.Add(func() { trips.Close() })
	go func() {
		<-trips.Done()
		if err := trips.Err(); err != nil && s.ctx.Err() == nil {
			s.fail(fmt.Errorf("the tripwire server ended: %w", err))
		}
	}()
	return nil
}

// projectNodes are one node for every denied path of the project, and each alias.
func (s *live) projectNodes() (out []tripwire.Node) {
	for _, t := range s.staging.Tripwires() {
		out = append(out, s.node(filepath.Join(s.project.Root, t.Path), t.Rule, attrOf(t)))
	}
	return out
}

func (s *live) node(path, rule string, attr tripwire.Attr) tripwire.Node {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := path
	if attr.Dir { // a node does not change its type
		key += "/"
	}
	id := s.nodes[key]
	if id == 0 {
		s.nextID++
		id = s.nextID
		s.nodes[key] = id
	}
	g := names.Guard{ID: id, Path: path, Rule: rule, Frozen: rule == frozen}
	if filepath.Base(path) == "hooks" {
		g.Below = gitkeys.Hooks
	}
	s.names.Add(g)
	return tripwire.Node{ID: id, Path: path, Rule: rule, Attr: attr}
}

func attrOf(t stage.Trip) tripwire.Attr {
	return tripwire.Attr{
		Mode: t.Mode, Size: t.Size, Mtime: t.MTime, Ctime: t.CTime, Atime: t.ATime,
		Ino: t.Ino, UID: t.UID, GID: t.GID, Nlink: t.Nlink, Dir: t.Dir,
	}
}

// newDenied lays a node over a denied name that appeared or changed on the host.
func (s *live) newDenied(e stage.Event) {
	if e.Trip == nil {
		return
	}
	defer s.denied.Learn(*e.Trip) // after the node lies
	n := s.node(filepath.Join(s.project.Root, e.Trip.Path), e.Trip.Rule, attrOf(*e.Trip))
	var err error
	if s.trips != nil {
		err = s.trips.Add(n)
	}
	if err == nil { // without a server a mask is laid
		err = s.box.AddTripwire(sandbox.Trip{ID: n.ID, Path: n.Path, Dir: n.Attr.Dir, Only: e.Trip.Shown})
	}
	switch {
	case err == nil || s.ctx.Err() != nil:
	case e.Trip.Shown:
		s.fail(fmt.Errorf("a new denied file is open inside: %s: %w", n.Path, err))
	default:
		s.log.Warn("a new denied file could not be covered inside; it was not copied there", "path", n.Path, "err", err)
	}
}

// pinner lets the supervisor seal scripts through the sandbox.
type pinner struct{ box *sandbox.Sandbox }

// Pin lays a sealed copy over the file at path.
func (p pinner) Pin(path string, content []byte) (execgate.Pin, error) {
	pin, err := p.box.Pin(path, content)
	if err != nil {
		return execgate.Pin{}, err
	}
	return execgate.Pin{Dev: pin.Dev, Ino: pin.Ino, Release: func() { _ = p.box.Unpin(pin) }}, nil
}

// startDoors opens the model door, the network door, the name stub, the supervisor, the watcher
// and the control socket.
func (s *live) startDoors() error {
	if err := s.startGateway(); err != nil {
		return err
	}
	if err := s.startEgress(); err != nil {
		return err
	}
	if s.box.DNS != nil {
		s.parts.Add(func() { s.box.DNS.Close() })
		go dnsstub.Serve(s.box.DNS, s.askedName)
	}
	if s.box.DNSStream != nil {
		s.box.DNSStream.Close() // a resolver that tries TCP is refused; over UDP it was answered
	}
	cfg := execgate.Config{
		Listener: s.box.Listener, Judge: judge{s.gate, s.fail, s.trial}, Seals: execgate.NewSeals(pinner{s.box}), Session: s.id, Env: s.env,
		Writable: s.writable, Launch: execgate.Launch{Argv: s.opt.Argv}, Names: s.names, Rewrite: s.staging.Git().Texts.Rewrite, Now: s.Now, Log: s.log,
	}
	if !s.opt.Own {
		cfg.Judge = s.lender(cfg)
		cfg.Closely = func(e *countersign.Exec) bool { return len(s.policy.Lends(e)) > 0 }
	}
	sup, err := execgate.New(cfg)
	if err != nil {
		return err
	}
	s.sup = sup
	go func() {
		defer close(s.supervised)
		if err := sup.Run(s.ctx); err != nil && s.ctx.Err() == nil {
			s.fail(fmt.Errorf("the supervisor ended: %w", err))
		}
	}()
	if err := s.staging.Mounted(fmt.Sprintf("/proc/%d/root%s", s.box.InitPID, s.project.Root)); err != nil {
		return err
	}
	go s.watch()
	s.parts.Add(func() { os.RemoveAll(filepath.Dir(s.Dirs.Socket(s.id))) })
	return session.Serve(s.ctx, s.Dirs.Socket(s.id), s.handlers())
}

// warmAfter is when a session makes its gateway ready: a command that is over
// sooner has not waited for it, an agent's first request comes later.
const warmAfter = 300 * time.Millisecond

// startGateway serves the model door on the listener that init made inside.
func (s *live) startGateway() error {
	cfg, err := gateway.Load(s.GatewayFile())
	if err != nil {
		return err
	}
	door := s.Door(cfg, s.ledger, s.policy)
	if len(cfg.Providers) == 0 && s.opt.Approver == "tty" && !s.opt.Own && s.needsModel() && (door.Nearby == nil || len(door.Nearby(s.ctx)) == 0) {
		s.noKeyHint()
	}
	door.Session, door.Agent, door.Token = s.id, s.opt.Agent, s.token
	s.denied = knowing.New(s.project.Root)
	for _, t := range s.staging.Tripwires() {
		s.denied.Learn(t)
	}
	door.Scanner, door.Early = s.denied.Scanner, s.asker()
	store := s.KeyStore()
	store.Avoid = []string{s.project.Root}
	door.Keys, door.Project = gateway.Keys(store), s.project.Root
	if s.budgets, err = s.Budgets(s.policy); err != nil {
		return err
	}
	if door.Budget = s.budgets; s.budgets != nil {
		s.parts.Add(s.budgets.Close)
	}
	served := gateway.New(door)
	srv := base.DoorServer(served)
	warm := time.AfterFunc(warmAfter, served.Warm)
	go func() {
		if err := srv.Serve(gather.Listen(s.box.Gateway)); !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) && s.ctx.Err() == nil {
			s.log.Warn("the gateway ended", "err", err)
		}
	}()
	s.parts.Add(func() {
		warm.Stop()
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		_ = srv.Shutdown(ctx)
		served.Close()
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

// needsModel reports whether the lack of a model is worth a word: to an agent
// that cannot work without, and on a first run.
func (s *live) needsModel() bool {
	if s.profile.Model {
		return true
	}
	all, err := s.Dirs.List()
	return err != nil || len(all) <= 1
}

// noKeyHint says in three lines what a first run without a model key needs.
func (s *live) noKeyHint() {
	s.Say("no model provider is set up, so the agent reaches no model yet. What is needed is one of:")
	s.Say("  a company key (a consumer subscription's login stays outside): countersign keys set anthropic, and a provider in %s", s.GatewayFile())
	s.Say("  or a local model: start Ollama or LM Studio, which are found on their usual ports; on another, a provider with wire ollama and base_url http://127.0.0.1:PORT (without /v1) in the same file")
}
