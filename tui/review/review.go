// Package review is the queue of a session's changes in the terminal: files on
// the left, one hunk on the right, a key for each decision.
//
// It promises that what is accepted is the hunk that was shown to its end, by
// its id; that high-risk hunks are accepted one by one only; that nothing is
// written before a confirmed apply; that hostile text is escaped
// (tui/visible); and that colour alone says nothing. All state is the Source's:
// after every act it is read again. It touches the terminal and a file for the
// person's editor, which is the only program it starts.
package review

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"

	"github.com/countersign/countersign"
	"github.com/countersign/countersign/internal/count"
)

// Source is the review as the screen sees it.
type Source interface {
	Changeset() (countersign.Changeset, error)
	// Load fills Pre and Post of a hunk that is not in memory.
	Load(h *countersign.Hunk) error
	Accept(ids ...string) error
	Reject(ids ...string) error
	Split(id string) error
	// Edit accepts the hunk with the person's own new bytes.
	Edit(id string, post []byte) error
	// Apply writes the accepted hunks and says in one line what it did.
	Apply() (summary string, err error)
	// Context returns up to so many unchanged lines before and after a hunk,
	// without their line ends.
	Context(h countersign.Hunk, lines int) (before, after []string)
	// Clash says what a person's own change of the same file means for a hunk; nil
	// if there is none.
	Clash(h countersign.Hunk) *Clash
	// Against shows a path against the person's file from now on.
	Against(path string) error
}

// Clash is a hunk in a file that a person changed meanwhile.
type Clash struct {
	Merges bool // elsewhere in the file: both go in
	Turned bool // the hunk is shown against the person's file: its old lines are theirs
	Was    []byte
	Yours  []byte // what the person made of it; not filled where Turned
}

// Options is what a review is handed.
type Options struct {
	Source  Source
	In, Out *os.File
	// Editor is the person's editor and its arguments; empty: no editing.
	Editor []string
	// Dir is a private directory for the file that the editor opens.
	Dir string
	// Env is the person's environment, for the terminal's abilities (optional:
	// the process's own).
	Env []string
	// Plain switches colour off (NO_COLOR).
	Plain bool
	// Staying says, in a line each, what stays in the session whatever is accepted
	// (optional). It is asked at the start and after each apply.
	Staying func() []string
	// Now is the clock (optional: the system's).
	Now func() time.Time
}

// Run shows the queue until the person leaves it or ctx ends.
func Run(ctx context.Context, o Options) error {
	if o.Now == nil {
		o.Now = time.Now
	}
	m := newModel(o)
	m.stay()
	if err := m.reload(); err != nil {
		return err
	}
	opts := []tea.ProgramOption{tea.WithContext(ctx), tea.WithInput(o.In), tea.WithOutput(o.Out)}
	if o.Env != nil {
		opts = append(opts, tea.WithEnvironment(o.Env))
	}
	p := tea.NewProgram(m, opts...)
	_, err := p.Run()
	if errors.Is(err, tea.ErrInterrupted) {
		return nil // Ctrl-C leaves; what was decided is with the Source
	}
	return err
}

// arming is how long a hunk must stand before a key decides it.
const arming = 500 * time.Millisecond

// confirm is a question that stands in the footer until it is answered.
type confirm struct {
	question string
	yes      func() error
}

type model struct {
	Options
	width, height int
	set           countersign.Changeset
	at            int // hunk shown
	scroll        int
	seen          bool // its end was in view
	since         time.Time
	ask           *confirm
	help          bool
	note          string
	staying       []string
	body          []line // of the hunk shown, at bodyFor
	bodyFor       string
}

func newModel(o Options) *model { return &model{Options: o, width: 80, height: 24, at: -1} }

// Init does nothing: the size comes by itself.
func (m *model) Init() tea.Cmd { return nil }

func (m *model) stay() {
	if m.Staying != nil {
		m.staying = m.Staying()
	}
}

// reload reads the changeset again and stays at the same hunk where it still
// exists, else at its place.
func (m *model) reload() error {
	id := ""
	if h := m.current(); h != nil {
		id = h.ID
	}
	set, err := m.Source.Changeset()
	if err != nil {
		return err
	}
	slices.SortStableFunc(set.Hunks, func(a, b countersign.Hunk) int { // commit by commit, as they were made
		return cmp.Or(cmp.Compare(a.Step, b.Step), strings.Compare(a.Path, b.Path))
	})
	m.set, m.bodyFor = set, ""
	for i, h := range set.Hunks {
		if h.ID == id {
			m.at = i
			return nil
		}
	}
	at := min(max(m.at, 0), len(set.Hunks)-1)
	if id == "" {
		at = m.find(0, 1, undecided)
	}
	m.show(at)
	return nil
}

func (m *model) current() *countersign.Hunk {
	if m.at < 0 || m.at >= len(m.set.Hunks) {
		return nil
	}
	return &m.set.Hunks[m.at]
}

// show turns to a hunk. Its clock starts anew.
func (m *model) show(i int) {
	if len(m.set.Hunks) == 0 {
		m.at = -1
		return
	}
	m.at, m.scroll, m.seen, m.since = min(max(i, 0), len(m.set.Hunks)-1), 0, false, m.Now()
}

func undecided(h countersign.Hunk) bool {
	return h.State == countersign.Undecided || h.State == countersign.Stale || h.State == ""
}

// find looks for a hunk from i on, around the end; without one it stays.
func (m *model) find(i, step int, want func(countersign.Hunk) bool) int {
	n := len(m.set.Hunks)
	for k := range n {
		j := ((i+k*step)%n + n) % n
		if want(m.set.Hunks[j]) {
			return j
		}
	}
	return max(m.at, 0)
}

// Update takes a message of the terminal.
func (m *model) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		m.width, m.height = max(msg.Width, 40), max(msg.Height, 8)
	case edited:
		m.done(m.takeEdit(msg))
	case tea.KeyPressMsg:
		return m, m.key(msg.String())
	}
	return m, nil
}

func (m *model) key(k string) tea.Cmd {
	if k == "ctrl+c" {
		return tea.Quit
	}
	m.note = ""
	if a := m.ask; a != nil {
		m.ask = nil
		if k == "y" {
			m.done(a.yes())
		}
		return nil
	}
	if m.help {
		m.help = false
		return nil
	}
	switch k {
	case "q":
		return tea.Quit
	case "?":
		m.help = true
	case "]":
		m.show(m.find(m.at+1, 1, undecided))
	case "[":
		m.show(m.find(m.at-1, -1, undecided))
	case "j":
		m.show(m.at + 1)
	case "k":
		m.show(m.at - 1)
	case "down":
		m.scroll++
	case "up":
		m.scroll--
	case "pgdown", "space":
		m.scroll += m.room() - 1
	case "pgup":
		m.scroll -= m.room() - 1
	case "home":
		m.scroll = 0
	case "end":
		m.scroll = len(m.body)
	case "c":
		m.nextClash()
	case "A":
		m.apply()
	default:
		return m.decide(k)
	}
	return nil
}

// decide takes the keys that decide about the hunk shown.
func (m *model) decide(k string) tea.Cmd {
	h := m.current()
	if h == nil || !strings.Contains("ynaset", k) {
		return nil
	}
	if m.Now().Sub(m.since) < arming {
		m.since = m.Now()
		m.note = "this hunk has only just come up: look, then press again"
		return nil
	}
	switch {
	case h.State == countersign.Applied:
		m.note = "already applied; `countersign review --undo` takes an apply back"
	case k == "y" && !m.seen:
		m.note = "scroll to the end of the hunk first (down, PgDn, End)"
	case k == "y":
		m.next(m.Source.Accept(h.ID))
	case k == "n":
		m.next(m.Source.Reject(h.ID))
	case k == "a":
		m.acceptFile(h.Path)
	case k == "s":
		m.done(m.Source.Split(h.ID))
	case k == "e":
		return m.edit(*h)
	case k == "t":
		if c := m.Source.Clash(*h); c == nil || c.Turned || c.Merges {
			m.note = "there is no conflict here to take up"
			return nil
		}
		m.done(m.Source.Against(h.Path))
		if m.note == "" {
			m.note = "shown against your file now; what you take of it arrives uncommitted"
		}
	}
	return nil
}

// nextClash turns to the next hunk that does not go together with what the person
// changed.
func (m *model) nextClash() {
	clashes := func(h countersign.Hunk) bool {
		c := m.Source.Clash(h)
		return c != nil && !c.Merges
	}
	if i := m.find(m.at+1, 1, clashes); i < len(m.set.Hunks) && clashes(m.set.Hunks[i]) {
		m.show(i)
		return
	}
	m.note = "no conflict: nothing you changed stands in the way"
}

// done shows an error, or the new state.
func (m *model) done(err error) {
	if err == nil {
		err = m.reload()
	}
	if err != nil {
		m.note = explain(err)
	}
}

// next is done, and goes on to what is still undecided.
func (m *model) next(err error) {
	m.done(err)
	if h := m.current(); err == nil && h != nil && !undecided(*h) {
		m.show(m.find(m.at, 1, undecided))
	}
}

func explain(err error) string {
	s := strings.Join(strings.Fields(err.Error()), " ")
	if r := countersign.RemedyOf(err); r != "" {
		s += " (" + r + ")"
	}
	return s
}

// acceptFile accepts what is undecided in a file, but for high-risk hunks and
// those that had become stale: these are looked at one by one.
func (m *model) acceptFile(path string) {
	var ids []string
	left := 0
	for _, h := range m.set.Hunks {
		switch {
		case h.Path != path || !undecided(h):
		case h.Risk == countersign.RiskHigh || h.State == countersign.Stale:
			left++
		default:
			ids = append(ids, h.ID)
		}
	}
	if len(ids) == 0 {
		m.note = "nothing here to accept together: high-risk and stale hunks are accepted one by one"
		return
	}
	yes := func() error { return m.Source.Accept(ids...) }
	if len(ids) == 1 && left == 0 && m.seen {
		m.next(yes())
		return
	}
	q := fmt.Sprintf("Accept %s of this file?", count.Of(len(ids), "hunk"))
	if left > 0 {
		q += fmt.Sprintf(" (%d high-risk or stale stay)", left)
	}
	m.ask = &confirm{q, yes}
}

// apply asks before the real tree is written.
func (m *model) apply() {
	n, files := m.ready()
	if n == 0 {
		m.note = "nothing accepted yet"
		return
	}
	m.ask = &confirm{fmt.Sprintf("Apply %s to %s?", count.Of(n, "accepted hunk"), count.Of(files, "file")), func() error {
		said, err := m.Source.Apply()
		m.stay()
		if again := m.reload(); err == nil {
			err = again
		}
		m.note = said
		return err
	}}
}

// ready counts what an apply would write.
func (m *model) ready() (hunks, files int) {
	paths := map[string]bool{}
	for _, h := range m.set.Hunks {
		if h.State == countersign.Accepted || h.State == countersign.Edited {
			hunks++
			paths[h.Path] = true
		}
	}
	return hunks, len(paths)
}
