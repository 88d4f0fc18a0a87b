package host

import (
	"strings"
	"testing"

	"github.com/countersign/countersign/tui/card"
)

func pressed(k *keys, chunks ...string) (names []string, replies string) {
	for _, c := range chunks {
		for _, p := range k.feed([]byte(c)) {
			if p.reply != nil {
				replies += string(p.reply)
			} else {
				names = append(names, string(p.key))
			}
		}
	}
	return names, replies
}

func TestKeysAtTheCard(t *testing.T) {
	tests := []struct {
		name          string
		chunks        []string
		keys, replies string
	}{
		{"letters", []string{"y", "é"}, "y é", ""},
		{"arrows", []string{"\x1b[A", "\x1bOB", "\x1b[5~", "\x1b[F"}, "up down pgup end", ""},
		{"split arrow", []string{"\x1b", "[", "B"}, "down", ""},
		{"alt is no letter", []string{"\x1by", "\x1b", "y"}, "other other", ""},
		{"ctrl is no letter", []string{"\x19"}, "other", ""},
		{"paste is no key", []string{"\x1b[200~y\rn", "y\x1b[201~"}, "", ""},
		{"mouse and focus", []string{"\x1b[<0;3;3M\x1b[<0;3;3m\x1b[I\x1b[M y y"}, "y", ""},
		{"replies", []string{"\x1b[?62;22c\x1b[5;1R\x1b[?2026;2$y\x1b[?1u\x1b]11;rgb:0/0/0\x1b\\\x1bP1+r544e=78\x1b\\"}, "", "\x1b[?62;22c\x1b[5;1R\x1b[?2026;2$y\x1b[?1u\x1b]11;rgb:0/0/0\x1b\\\x1bP1+r544e=78\x1b\\"},
		{"a letter behind a reply's start", []string{"\x1b]11;y", "y\a"}, "", "\x1b]11;yy\a"},
		{"kitty escape", []string{"\x1b[27u"}, "esc", ""},
		{"kitty letter with ctrl", []string{"\x1b[121;5u"}, "other", ""},
		{"invalid", []string{"\xff"}, "other", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			names, replies := pressed(&keys{}, tt.chunks...)
			if got := strings.Join(names, " "); got != tt.keys || replies != tt.replies {
				t.Errorf("keys %q, replies %q", got, replies)
			}
		})
	}
	k := &keys{}
	pressed(k, "\x1b")
	if ps := k.lone(); len(ps) != 1 || ps[0].key != card.Esc {
		t.Errorf("a lone escape: %v", ps)
	}
}

// Nothing pasted, and nothing that begins with Escape, ever becomes a letter.
func FuzzKeys(f *testing.F) {
	f.Add("y", 1)
	f.Add("\x1b[201y\x1b]y\x1b[200~y", 3)
	f.Fuzz(func(t *testing.T, in string, cut int) {
		k := &keys{}
		in = strings.ReplaceAll(in, "\x1b[201~", "")
		cut = min(max(cut, 0), len(in))
		names, _ := pressed(k, "\x1b[200~", in[:cut], in[cut:])
		if len(names) != 0 {
			t.Fatalf("pasted %q, got keys %q", in, names)
		}
		if !strings.Contains(in, "\x1b") {
			if names, _ := pressed(&keys{}, "\x1b"+in); len(names) > 0 && len(names[0]) == 1 && in != "" && names[0] == in[:1] {
				t.Fatalf("escape and %q gave %q", in, names)
			}
		}
	})
}
