//go:build amd64 || arm64

package live

import (
	"path/filepath"
	"strings"

	"github.com/countersign/countersign/internal/gitkeys"
	"github.com/countersign/countersign/sandbox"
	"github.com/countersign/countersign/sandbox/execgate/names"
	"github.com/countersign/countersign/sandbox/tripwire"
)

// holdGit has a try to move a git directory of the session, or what is mounted in
// one, on record. Guards that say more of a place come after.
func (s *live) holdGit() {
	for _, m := range s.staging.Mounts() {
		if strings.Contains(m.Target+"/", "/.git/") {
			s.names.Add(names.Guard{Path: m.Target, Rule: gitDir, Held: true})
		}
	}
}

// freeze has a shelf without a hook stand over each hooks directory, so that a try to
// lay one is on record. Without a server they are read-only, and renames, links and
// unlinks alone are.
func (s *live) freeze() error {
	var trips []sandbox.Trip
	for _, path := range s.staging.ReadOnly() {
		if filepath.Base(path) != "hooks" {
			continue
		}
		top := s.shelf(path)
		if s.trips == nil {
			continue // names moved in are on record by the mount's path
		}
		if err := s.trips.Add(top); err != nil {
			return err
		}
		var samples []tripwire.Shelved // git init again would copy what is missing
		for _, hook := range gitkeys.Hooks {
			samples = append(samples, tripwire.Shelved{Name: hook + ".sample", Node: top.ID, Path: path, Rule: top.Rule, Free: true})
		}
		if err := s.trips.Shelve(top.ID, samples); err != nil {
			return err
		}
		trips = append(trips, sandbox.Trip{ID: top.ID, Path: path, Dir: true})
	}
	return s.box.AddTripwire(trips...)
}

// guardTexts lays what the session's git says over the files that decide what git
// runs; a change goes through the supervisor to it, and comes back to show.
func (s *live) guardTexts() error {
	all, err := s.staging.Git().Texts.All()
	if err != nil {
		return err
	}
	for _, t := range all {
		s.names.Add(names.Guard{Path: t.Path, Rule: gitConfig, Frozen: true, Text: !t.Fixed})
		if err := s.show(t.Path, t.Content); err != nil {
			return err
		}
	}
	s.staging.Git().Texts.Serve(s.show)
	return nil
}

// show lays a text over the one that lay there. Each of two in turn has traps of its
// own, for the kernel notes it where two overlays share one.
func (s *live) show(path string, content []byte) error {
	s.mu.Lock()
	t := s.texts[path]
	if t == nil {
		t = &laidText{}
		s.texts[path] = t
	}
	s.mu.Unlock()
	t.turn = 1 - t.turn
	var traps []sandbox.Trip
	for k := range t.traps[t.turn] {
		id, err := s.trap(&t.traps[t.turn][k], path)
		if err != nil {
			return err
		}
		traps = append(traps, sandbox.Trip{ID: id})
	}
	err := s.box.Text(path, content, traps...)
	if err == nil || s.trips == nil {
		return err
	}
	s.log.Warn("a try to write git's configuration from inside is refused, but not on record", "err", err)
	return s.box.Text(path, content)
}

// laidText is a text that lies in the view; who shows it holds the keeper's lock.
type laidText struct {
	turn  int
	traps [2][2]uint64 // of each turn: ids of the upper and of the work directory
}

// trap has the server answer for a directory below a text, once. Without a server the
// text is read-only.
func (s *live) trap(id *uint64, path string) (uint64, error) {
	if *id != 0 || s.trips == nil {
		return *id, nil
	}
	s.mu.Lock()
	s.nextID++
	*id = s.nextID
	s.mu.Unlock()
	n := s.directory(path, gitConfig)
	n.ID, n.Maker = *id, s.box.NSDPID
	return *id, s.trips.Add(n)
}
