package sandbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/countersign/countersign"
	"github.com/countersign/countersign/sandbox/view"
)

// Sandbox is one standing sandbox. The embedded Process is the agent.
type Sandbox struct {
	*Process
	Gateway     net.Listener   // 127.0.0.1:GatewayPort inside
	GatewayPort int            //
	DNS         net.PacketConn // 127.0.0.1:53 inside
	DNSStream   net.Listener   // the same for TCP
	Doors       []net.Listener // those of Config.Listen, in their order
	NSDPID      int            // in this process's pid namespace, as InitPID
	InitPID     int
	NoFuse      string   // why tripwires are masks; empty if they are nodes
	Notes       []string // what was left out of the view, and why

	config    Config // as far as Begin had it
	ctx       context.Context
	early     func() bool // takes back what the end of ctx does before Finish
	up        chan view.Message
	served    chan struct{} // closed when it is known how OnFuse went
	serving   error         // then: how
	nsd, init *link
	nsdFD     int // pidfd
	initFD    int
	errors    *os.File // what the helpers say
	said      string   // what they said last
	ended     chan struct{}
	once      sync.Once // of Kill
}

// helperCaps are what building a view takes, in the new user namespace only.
var helperCaps = []uintptr{
	unix.CAP_SYS_ADMIN, unix.CAP_SYS_CHROOT, unix.CAP_SETPCAP, unix.CAP_NET_ADMIN, unix.CAP_NET_BIND_SERVICE,
	unix.CAP_DAC_OVERRIDE, unix.CAP_DAC_READ_SEARCH, unix.CAP_FOWNER, unix.CAP_FSETID, unix.CAP_CHOWN, unix.CAP_MKNOD,
}

// Start is Begin and Finish in one.
func Start(ctx context.Context, c Config) (*Sandbox, error) {
	s, err := Begin(ctx, c)
	if err != nil {
		return nil, err
	}
	if err := s.Finish(c); err != nil {
		return nil, err
	}
	return s, nil
}

// Begin starts building the sandbox and returns while that goes on: of c it takes
// what the session knows early, which is everything but Argv, Env, Dir, Mounts,
// Tripwires and the terminal or files. Ending ctx kills it.
func Begin(ctx context.Context, c Config) (*Sandbox, error) {
	s := &Sandbox{nsdFD: -1, initFD: -1, ended: make(chan struct{}), config: c, up: make(chan view.Message, 1), served: make(chan struct{})}
	for _, k := range c.Caches {
		for _, dir := range []string{k.Upper, k.Work} {
			if err := os.MkdirAll(dir, 0o700); err != nil {
				return nil, fault("make the cache's layer", err)
			}
		}
	}
	if err := s.launch(c); err != nil {
		return nil, err
	}
	s.listen(c)
	s.ctx, s.early = ctx, context.AfterFunc(ctx, func() { // the helpers end, and Finish finds them gone
		s.nsd.conn.Close()
		s.init.conn.Close()
	})
	return s, nil
}

// Served returns when what OnFuse started is ready: from then on nodes may be
// added, all of Finish's tripwires before it.
func (s *Sandbox) Served() error { return s.orKill(s.fuseServed()) }

func (s *Sandbox) fuseServed() error {
	if s.config.OnFuse == nil {
		return nil
	}
	select {
	case <-s.served:
	case <-s.nsd.gone:
		return errGone
	}
	if s.serving != nil {
		return fmt.Errorf("serve the tripwires: %w", s.serving)
	}
	return nil
}

// Finish returns with the agent waiting before its first exec, its listener (if
// Begin's Config had Gate) not yet read by anybody. If it fails, nothing is left.
func (s *Sandbox) Finish(c Config) error {
	err := s.fuseServed()
	if err == nil {
		err = s.rise(c)
	}
	if !s.early() && err == nil {
		err = context.Cause(s.ctx)
	}
	if err = s.orKill(err); err == nil {
		context.AfterFunc(s.ctx, s.Kill)
	}
	return err
}

func (s *Sandbox) orKill(err error) error {
	if err == nil {
		return nil
	}
	s.Kill()
	return s.explain("start the sandbox", err)
}

// launch starts nsd and puts the sockets in place.
func (s *Sandbox) launch(c Config) error {
	nsd, nsdEnd, err := view.Pair()
	if err != nil {
		return fault("start the sandbox", err)
	}
	defer nsdEnd.Close()
	init, initEnd, err := view.Pair()
	if err != nil {
		nsd.Close()
		return fault("start the sandbox", err)
	}
	defer initEnd.Close()
	s.nsd, s.init = newLink(nsd), newLink(init)
	plan, err := planFile(c)
	if err == nil {
		defer plan.Close()
		s.errors, err = memory("countersign-errors", nil)
	}
	if err == nil {
		err = s.spawnNSD(c.Exe, nsdEnd, plan, initEnd)
	}
	if err != nil {
		nsd.Close()
		init.Close()
		return err
	}
	return nil
}

func planFile(c Config) (*os.File, error) {
	b, err := json.Marshal(view.Plan{
		Home: c.Home, HomeSource: c.HomeSource, Tmp: c.Tmp, ReadOnly: c.ReadOnly, Caches: c.Caches,
		Fuse: c.OnFuse != nil, RequireFuse: c.RequireFuse,
		GatewayPort: c.GatewayPort, Listen: c.Listen, Gate: c.Gate,
	})
	if err != nil {
		return nil, err
	}
	return memory("countersign-plan", b)
}

// memory makes an unnamed file of content.
func memory(name string, content []byte) (*os.File, error) {
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("memfd: %w", err)
	}
	f := os.NewFile(uintptr(fd), name)
	if _, err := f.WriteAt(content, 0); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// spawnNSD starts nsd from a thread that lives as long as nsd does: the kernel's
// parent-death signal goes by thread.
func (s *Sandbox) spawnNSD(exe string, ctl, plan, init *os.File) error {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer null.Close()
	attr := &syscall.ProcAttr{
		Dir: "/", Env: []string{"GOTRACEBACK=single", "GOMAXPROCS=2"},
		Files: []uintptr{null.Fd(), s.errors.Fd(), s.errors.Fd(), ctl.Fd(), plan.Fd(), init.Fd()},
		Sys: &syscall.SysProcAttr{
			Cloneflags: unix.CLONE_NEWUSER | unix.CLONE_NEWNS, AmbientCaps: helperCaps, Setsid: true,
			UidMappings: idMap("/proc/self/uid_map", os.Getuid()), GidMappings: idMap("/proc/self/gid_map", os.Getgid()),
			Pdeathsig: syscall.SIGKILL, PidFD: &s.nsdFD,
		},
	}
	started := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked
		pid, err := syscall.ForkExec(exe, []string{"countersign", view.CommandNSD}, attr)
		s.NSDPID = pid
		started <- err
		if err != nil {
			return
		}
		var ws unix.WaitStatus
		for {
			if _, err := unix.Wait4(pid, &ws, 0, nil); err != unix.EINTR {
				break
			}
		}
		close(s.ended)
	}()
	if err := <-started; err != nil {
		return noNamespace(err)
	}
	return nil
}

// idMap maps every id of this process's own namespace to itself for root, so
// that owners show as they are; an ordinary user may map only itself.
func idMap(path string, id int) []syscall.SysProcIDMap {
	if os.Getuid() == 0 {
		if m := parseIDMap(path); len(m) > 0 {
			return m
		}
	}
	return []syscall.SysProcIDMap{{ContainerID: id, HostID: id, Size: 1}}
}

func parseIDMap(path string) (out []syscall.SysProcIDMap) {
	f, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer f.Close()
	for {
		var inside, outside, size int
		if _, err := fmt.Fscan(f, &inside, &outside, &size); err != nil {
			return out
		}
		out = append(out, syscall.SysProcIDMap{ContainerID: inside, HostID: inside, Size: size})
	}
}

// listen takes the helpers' events.
func (s *Sandbox) listen(c Config) {
	go s.init.read(nil)
	go s.nsd.read(func(m view.Message, files []*os.File) {
		switch {
		case m.Op == view.OpUp:
			s.up <- m
		case m.Op == view.OpFuse && len(files) == 1:
			go func() {
				s.serving = c.OnFuse(files[0])
				close(s.served)
			}()
		default:
			s.NoFuse = m.Fault
			close(s.served)
		}
	})
}

// rise has the project laid and waits until the agent does: its tripwires' nodes
// are looked up while the view is built.
func (s *Sandbox) rise(c Config) error {
	laid := make(chan error, 1)
	go func() { laid <- s.lay(c.Mounts, c.Tripwires) }()
	select {
	case m := <-s.up:
		s.InitPID, s.Notes = m.PID, m.Notes
	case <-s.nsd.gone:
		return errGone
	}
	var err error
	if s.initFD, err = unix.PidfdOpen(s.InitPID, 0); err != nil {
		return fmt.Errorf("pidfd_open: %w", err)
	}
	if err := s.doors(len(s.config.Listen)); err != nil {
		return err
	}
	if err := <-laid; err != nil {
		return err
	}
	if s.config.OnFuse == nil {
		s.NoFuse = "not asked for"
	}
	s.Process, err = s.Spawn(Command{
		Argv: c.Argv, Env: c.Env, Dir: c.Dir, TTY: c.TTY, Rows: c.Rows, Cols: c.Cols,
		Stdin: c.Stdin, Stdout: c.Stdout, Stderr: c.Stderr,
	})
	return err
}

// Lay lays mounts, and then tripwires whose nodes the server knows, between Served
// and Finish, which lays its own after them.
func (s *Sandbox) Lay(mounts []countersign.Mount, trips []Trip) error {
	return s.orKill(s.lay(mounts, trips))
}

func (s *Sandbox) lay(mounts []countersign.Mount, trips []Trip) error {
	b, err := json.Marshal(view.Project{Mounts: mounts, Tripwires: trips})
	if err != nil {
		return err
	}
	f, err := memory("countersign-project", b)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = s.nsd.ask(view.Message{Op: view.OpLay}, int(f.Fd()))
	return err
}

// doors takes the sockets that init opened inside.
func (s *Sandbox) doors(more int) error {
	var files []*os.File
	select {
	case e := <-s.init.events:
		files = e.files
		defer view.CloseAll(files)
		if e.m.Op != view.OpNet || len(files) != 3+more {
			return fmt.Errorf("init: %s with %d descriptors", e.m.Op, len(files))
		}
	case <-s.init.gone:
		return errGone
	}
	var err error
	if s.Gateway, err = net.FileListener(files[0]); err != nil {
		return err
	}
	if s.DNS, err = net.FilePacketConn(files[1]); err != nil {
		return err
	}
	if s.DNSStream, err = net.FileListener(files[2]); err != nil {
		return err
	}
	for _, f := range files[3:] {
		l, err := net.FileListener(f)
		if err != nil {
			return err
		}
		s.Doors = append(s.Doors, l)
	}
	if a, ok := s.Gateway.Addr().(*net.TCPAddr); ok {
		s.GatewayPort = a.Port
	}
	return nil
}

var errGone = errors.New("a helper of the sandbox ended")

func fault(op string, err error) error {
	return &countersign.Error{Code: countersign.EInternal, Op: op, Thing: "sandbox", Err: err}
}
