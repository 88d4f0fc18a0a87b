package card

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/countersign/countersign"
	"github.com/countersign/countersign/tui/visible"
)

// Arming is how long a card must stand before it takes a key: long enough that
// a key meant for the agent's prompt cannot answer it.
const Arming = 500 * time.Millisecond

// Key is a key as a card knows it: a printable character, or a name from the
// list.
type Key string

// The named keys.
const (
	Enter     Key = "enter"
	Esc       Key = "esc"
	Space     Key = " "
	Backspace Key = "backspace"
	Up        Key = "up"
	Down      Key = "down"
	PgUp      Key = "pgup"
	PgDn      Key = "pgdn"
	Home      Key = "home"
	End       Key = "end"
	Other     Key = "other" // any key that means nothing here
)

type mode uint8

const (
	asking  mode = iota
	session      // shows what approving for the session means
	reason       // types the reason of a denial
	typing       // types the word that an approval asks for
)

// State is a card that stands: the request, where it is scrolled to, and how
// far the answer has come.
type State struct {
	Card
	Pos, Total int // place in the queue, from 1
	Note       string

	since   time.Time // stands in this form since
	quiet   time.Time // no early key since
	mode    mode
	scope   countersign.Scope
	text    string
	scroll  int
	seen    bool
	content []Line
	width   int
	height  int
}

// Show returns a card that stands from now on.
func Show(c Card, now time.Time) *State {
	return &State{Card: c, since: now, quiet: now}
}

// Same reports whether r is what the card shows, to the byte that is bound.
func (s *State) Same(r countersign.Request) bool {
	old := s.Request
	return old.ID == r.ID && old.Digest == r.Digest && old.Pending == r.Pending
}

// ArmedAt returns when the card will take keys if nothing more is typed.
func (s *State) ArmedAt() time.Time { return s.quiet.Add(Arming) }

// Texting reports whether keys are taken as text.
func (s *State) Texting() bool { return s.mode == reason || s.mode == typing }

// Screen lays the card out on a screen of the given size, exactly height lines.
func (s *State) Screen(width, height int, now time.Time) []string {
	width, height = max(width, 20), max(height, 6)
	if s.content == nil || s.width != width {
		s.content, s.width = s.Content(width), width
	}
	s.height = height
	room := s.room()
	last := max(len(s.content)-room, 0)
	s.scroll = min(max(s.scroll, 0), last)
	if s.scroll == last {
		s.seen = true
	}
	where := fmt.Sprintf("%d of %d", s.Pos, s.Total)
	lines := []string{Line{pad(" "+s.Heading(), where+" ", width), Warn}.Styled()}
	for i := s.scroll; i < len(s.content) && len(lines) <= room; i++ {
		lines = append(lines, s.content[i].Styled())
	}
	for len(lines) <= room {
		lines = append(lines, "")
	}
	bar := fmt.Sprintf("lines %d-%d of %d", min(s.scroll+1, len(s.content)), min(s.scroll+room, len(s.content)), len(s.content))
	if s.scroll < last {
		bar += ", more below"
	}
	lines = append(lines, Line{pad(strings.Repeat("-", 3)+" "+bar+" ", "", width), Dim}.Styled())
	for _, l := range s.footIn(width, now) {
		lines = append(lines, clip(l, width))
	}
	return lines[:height]
}

// room is how many lines of content fit: all but heading, bar and two of foot.
func (s *State) room() int { return s.height - 4 }

// footIn is foot on a screen so wide: keys that do not fit in the first line
// go on in the second, in few words where even that is not enough.
func (s *State) footIn(width int, now time.Time) [2]string {
	f := s.foot(now)
	if s.mode != asking || len(f[0]) <= width {
		return f
	}
	keys := strings.Split(f[0], "  ")
	first := keys[0]
	for keys = keys[1:]; len(keys) > 0 && len(first)+2+len(keys[0]) <= width; keys = keys[1:] {
		first += "  " + keys[0]
	}
	rest := strings.Join(keys, "  ")
	if s.Note != "" || len(first) > width || len(rest) > width {
		f[0] = "y once  s session  n deny  r why  d all"
		if !s.seen {
			f[0] = "End, then y/s  n deny  r deny, why"
		}
		return f
	}
	return [2]string{first, rest}
}

// foot says what a key would do now.
func (s *State) foot(now time.Time) [2]string {
	note := s.Note
	switch s.mode {
	case session:
		what := "Same program and content, words, directory and variables"
		if s.Request.Action.Net != nil {
			what = "Same host and port, whichever program asks"
		}
		return [2]string{
			what + ": not asked again in this session.",
			"s again: approve for this session   Esc: back    " + s.Request.Reuse,
		}
	case reason:
		return [2]string{"Deny. Reason (may be empty), then Enter; Esc: back", "> " + s.text}
	case typing:
		return [2]string{"Type " + s.Request.Confirm + " and Enter to approve; Esc: back    " + note, "> " + s.text}
	}
	keys := "y approve once  s approve for session  n deny  r deny, say why  d details"
	switch {
	case now.Before(s.ArmedAt()):
		keys = "(keys count in a moment)"
	case !s.seen:
		keys = "scroll to the end to approve (down, PgDn, End)  n deny  r deny, say why"
	}
	return [2]string{keys, note}
}

// Press takes a key and returns the answer, if it was one; By is left empty.
// Screen must have been called since the card last changed.
func (s *State) Press(k Key, now time.Time) *countersign.Approval {
	if now.Before(s.ArmedAt()) {
		s.quiet = now // typed for something else: wait until that has ended
		return nil
	}
	if s.scrolled(k) {
		return nil
	}
	switch s.mode {
	case session:
		return s.pressSession(k, now)
	case reason, typing:
		return s.pressText(k, now)
	}
	switch k {
	case "y":
		return s.approve(countersign.ScopeOnce, now)
	case "s":
		if s.seen {
			s.mode = session
		}
	case "n":
		return s.answer(false, countersign.ScopeOnce, "", now)
	case "r":
		s.mode, s.text = reason, ""
	case "d":
		s.Details, s.content, s.seen = !s.Details, nil, false
	}
	return nil
}

func (s *State) pressSession(k Key, now time.Time) *countersign.Approval {
	switch k {
	case "s":
		s.mode = asking
		return s.approve(countersign.ScopeSession, now)
	case Esc:
		s.mode = asking
	}
	return nil
}

func (s *State) pressText(k Key, now time.Time) *countersign.Approval {
	switch {
	case k == Esc:
		s.mode = asking
	case k == Backspace:
		_, n := utf8.DecodeLastRuneInString(s.text)
		s.text = s.text[:len(s.text)-n]
	case k == Enter && s.mode == reason:
		return s.answer(false, countersign.ScopeOnce, strings.TrimSpace(s.text), now)
	case k == Enter && s.text == s.Request.Confirm:
		return s.answer(true, s.scope, "", now)
	case k == Enter:
		s.Note, s.text = "that was not the word", ""
	case utf8.RuneCountInString(string(k)) == 1 && len(s.text) < 400:
		if _, flagged := visible.String(string(k)); !flagged {
			s.text += string(k)
		}
	}
	return nil
}

func (s *State) approve(scope countersign.Scope, now time.Time) *countersign.Approval {
	if !s.seen {
		return nil
	}
	if s.Request.Confirm != "" {
		s.mode, s.scope, s.text = typing, scope, ""
		return nil
	}
	return s.answer(true, scope, "", now)
}

func (s *State) answer(yes bool, scope countersign.Scope, why string, now time.Time) *countersign.Approval {
	sum := sha256.Sum256(Bytes(s.content))
	confirmed := ""
	if yes {
		confirmed = s.Request.Confirm
	}
	return &countersign.Approval{
		Granted: yes, Means: "tty", Scope: scope, Reason: why, Confirmed: confirmed,
		Shown: "sha256:" + hex.EncodeToString(sum[:]), ShownMS: now.Sub(s.since).Milliseconds(),
	}
}

func (s *State) scrolled(k Key) bool {
	page := max(s.room()-1, 1)
	switch k {
	case Up:
		s.scroll--
	case Down:
		s.scroll++
	case PgUp:
		s.scroll -= page
	case PgDn:
		s.scroll += page
	case Home:
		s.scroll = 0
	case End:
		s.scroll = len(s.content)
	default:
		return false
	}
	return true
}

// pad sets left and right against the two edges.
func pad(left, right string, width int) string {
	return clip(left+strings.Repeat(" ", max(width-len(left)-len(right), 0))+right, width)
}

// clip cuts our own words, never a request's, and keeps the end of a typed
// line in view.
func clip(s string, width int) string {
	parts := visible.Fold(s, width)
	if len(parts) > 1 && strings.HasPrefix(s, "> ") {
		r := []rune(s)
		return "> " + string(r[max(len(r)-width/2, 2):])
	}
	return parts[0]
}
