package card

import (
	"strings"

	"github.com/countersign/countersign"
	"github.com/countersign/countersign/internal/count"
)

// maxCompared bounds, in words of either command, what is compared.
const maxCompared = 400

// compared shows what differs from the last approved command of its kind, word by
// word: a reading aid, under the whole command. A mark at the left says what is
// what, so that nothing hangs on colour.
func (p *page) compared(r countersign.Request) {
	e := r.Action.Exec
	if e == nil || len(r.Last) == 0 {
		return
	}
	was, is := pieces(r.Last), pieces(e.Argv)
	if len(was) > maxCompared || len(is) > maxCompared {
		return
	}
	head := "compared with the one approved at " + r.LastAt.UTC().Format("15:04:05") + " UTC"
	runs := differ(was, is)
	if len(runs) == 1 && runs[0].mark == '=' {
		p.put(Head, head+": the same words")
		return
	}
	p.put(Head, head+" (- gone, + new)")
	for _, run := range runs {
		look, text := Normal, strings.Join(run.words, " ")
		switch run.mark {
		case '=':
			look = Dim
			if n := len(run.words); n > 4 {
				text = strings.Join(run.words[:2], " ") + " (" + count.Of(n-4, "more word") + ") " + strings.Join(run.words[n-2:], " ")
			}
		case '+':
			look = Head
		}
		first := len(p.lines)
		p.element(string(run.mark), text)
		for i := range p.lines[first:] {
			p.lines[first+i].Look = look
		}
	}
}

// pieces are the words of a command, those of a shell's text each by itself.
func pieces(argv []string) []string {
	var out []string
	for _, a := range argv {
		if f := strings.Fields(a); len(f) > 1 {
			out = append(out, f...)
			continue
		}
		out = append(out, a)
	}
	return out
}

type run struct {
	mark  byte // = - +
	words []string
}

// differ is the shortest way from was to is, by the lengths of the longest common
// subsequences of their ends.
func differ(was, is []string) []run {
	n, m := len(was), len(is)
	long := make([][]int, n+1)
	for i := range long {
		long[i] = make([]int, m+1)
	}
	for i := n - 1; i >= 0; i-- {
		for j := m - 1; j >= 0; j-- {
			if was[i] == is[j] {
				long[i][j] = long[i+1][j+1] + 1
			} else {
				long[i][j] = max(long[i+1][j], long[i][j+1])
			}
		}
	}
	var out []run
	add := func(mark byte, w string) {
		if k := len(out); k > 0 && out[k-1].mark == mark {
			out[k-1].words = append(out[k-1].words, w)
			return
		}
		out = append(out, run{mark, []string{w}})
	}
	i, j := 0, 0
	for i < n || j < m {
		switch {
		case i < n && j < m && was[i] == is[j]:
			add('=', is[j])
			i, j = i+1, j+1
		case i < n && (j == m || long[i+1][j] >= long[i][j+1]):
			add('-', was[i])
			i++
		default:
			add('+', is[j])
			j++
		}
	}
	return out
}
