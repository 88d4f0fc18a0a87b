package card

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/countersign/countersign"
	"github.com/countersign/countersign/internal/count"
	"github.com/countersign/countersign/internal/redact"
)

// crowd is how many words or variables stand on a line each; where there are
// more, the plain ones share lines.
const crowd = 12

// plainWord reports whether a word can share a line with others, a space between
// them, and still be told from them by anybody: letters, digits and signs that
// end no word in any shell.
func plainWord(s string, width int) bool {
	if s == "" || len(s) > width {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("-_./:=,@%^~", c) >= 0) {
			return false
		}
	}
	return true
}

// words shows the arguments: one on a line, or, of a crowd, the plain ones
// together on lines with a gutter of their own.
func (p *page) words(argv []string) {
	n := 0
	for _, s := range argv {
		n += len(s)
	}
	head := fmt.Sprintf("command: %s, %s", count.Of(len(argv), "word"), count.Of(n, "byte"))
	if len(argv) <= crowd {
		p.put(Head, head)
		for i, s := range argv {
			p.element(strconv.Itoa(i), s)
		}
		return
	}
	p.put(Head, head+"; lines with + hold several, a space between")
	room := p.width - 6
	for i := 0; i < len(argv); {
		n, used := 0, 0
		for i+n < len(argv) {
			group := unit(argv[i+n:], room)
			if group == 0 {
				break
			}
			size := len(strings.Join(argv[i+n:i+n+group], " "))
			if used > 0 && used+1+size > room {
				break
			}
			used, n = used+1+size, n+group
		}
		if n < 2 {
			p.element(strconv.Itoa(i), argv[i])
			i++
			continue
		}
		p.lines = append(p.lines, Line{Text: fmt.Sprintf("%3d + %s", i, strings.Join(argv[i:i+n], " "))})
		i += n
	}
}

// unit is how many of the next words belong on one line: a letter option stays
// with its value. 0: the next word stands by itself.
func unit(argv []string, room int) int {
	if !plainWord(argv[0], room) {
		return 0
	}
	if len(argv[0]) == 2 && argv[0][0] == '-' && len(argv) > 1 && plainWord(argv[1], room-3) && argv[1][0] != '-' {
		return 2
	}
	return 1
}

// environment lists what differs. Values that look like secrets stay unseen:
// they are bound by the digest all the same.
func (p *page) environment(delta []countersign.EnvChange, details bool) {
	harmless := 0
	var shown []string
	for _, d := range delta {
		switch {
		case !details && countersign.HarmlessEnv(d.Name):
			harmless++
		case d.Unset:
			shown = append(shown, "- "+d.Name+" (removed)")
		default:
			v, _ := redact.Arg(d.Name + "=" + d.Value)
			shown = append(shown, "+ "+v)
		}
	}
	const lead = 11
	plain := func(s string) bool {
		kv, added := strings.CutPrefix(s, "+ ")
		return added && len(shown) > crowd && plainWord(kv, p.width-lead-2)
	}
	for i := 0; i < len(shown); {
		line, first := shown[i], i
		for i++; i < len(shown) && plain(shown[first]) && plain(shown[i]) && lead+len(line)+1+len(shown[i]) <= p.width; i++ {
			line += " " + shown[i]
		}
		p.field("variable", line)
	}
	if harmless > 0 {
		p.put(Dim, "           "+count.Of(harmless, "harmless variable")+" (d shows them)")
	}
}
