package budget

import (
	"fmt"
	"time"

	countersign "github.com/countersign/countersign"
	"github.com/countersign/countersign/internal/usd"
)

// What a limit bounds.
type What string

// The bounds; Price is that of a model whose price is not known.
const (
	USD      What = "usd"
	Tokens   What = "tokens"
	Requests What = "requests"
	Price    What = "price"
)

// Refusal is a limit that lets a call not go.
type Refusal struct {
	Limit           countersign.Limit
	What            What
	Spent, Held, Of int64
	Wait            time.Duration // until its window ends; 0: it has none
}

// Busy reports that calls in flight hold what is left: it may be free in a
// moment.
func (r *Refusal) Busy() bool { return r.What != Price && r.Spent < r.Of }

// harder reports whether r stands longer than another.
func (r *Refusal) harder(other *Refusal) bool {
	if r.What == Price || other.What == Price {
		return r.What == Price
	}
	if r.Busy() != other.Busy() {
		return other.Busy()
	}
	return r.Wait == 0 && other.Wait != 0 || other.Wait != 0 && r.Wait > other.Wait
}

// String says what is spent, in one sentence.
func (r *Refusal) String() string {
	l := r.Limit
	scope := "per " + l.Per
	if l.Window != "" {
		scope += " and " + l.Window
	}
	switch {
	case r.What == Price:
		return "no price is known for this model, so its budget of $" + usd.Nano(l.NanoUSD).String() + " " + scope + " cannot be kept: give it a price in prices.yaml"
	case r.Busy():
		return "calls in flight have reserved what is left of " + amount(r.What, r.Of) + " " + scope
	}
	s := fmt.Sprintf("%d of %s %s are spent", r.Spent, amount(r.What, r.Of), scope)
	switch r.What {
	case USD:
		s = amount(USD, r.Spent) + " of " + amount(USD, r.Of) + " " + scope + " are spent"
	case Requests:
		s = amount(r.What, r.Of) + " " + scope + " were made"
	}
	if r.Wait > 0 {
		s += "; the next " + l.Window + " begins in " + about(r.Wait) + " (UTC)"
	}
	return s
}

// about is a time as exactly as a person needs it.
func about(d time.Duration) string {
	switch {
	case d >= 48*time.Hour:
		return fmt.Sprintf("%d days", int((d+12*time.Hour)/(24*time.Hour)))
	case d >= 2*time.Hour:
		return fmt.Sprintf("%d hours", int((d+30*time.Minute)/time.Hour))
	case d >= 2*time.Minute:
		return fmt.Sprintf("%d minutes", int((d+30*time.Second)/time.Minute))
	}
	return d.Round(time.Second).String()
}

func amount(w What, n int64) string {
	if w == USD {
		return "$" + usd.Nano(n).Cents()
	}
	return fmt.Sprintf("%d %s", n, w)
}

// Left is what a limit has left.
type Left struct {
	ID       string     `json:"id"`
	Per      string     `json:"per"`
	Window   string     `json:"window,omitempty"`
	Reason   string     `json:"reason"`
	USD      *Amount    `json:"usd,omitempty"` // decimal dollars
	Tokens   *Amount    `json:"tokens,omitempty"`
	Requests *Amount    `json:"requests,omitempty"`
	Ends     *time.Time `json:"ends,omitempty"` // of the window
}

// Amount is one bound of a limit, as decimal numbers.
type Amount struct {
	Spent    string `json:"spent"`
	Reserved string `json:"reserved"` // by calls in flight, and by those that a kill cut off
	Limit    string `json:"limit"`
	Left     string `json:"left"`
}

// Left says what is left to somebody.
func (b *Book) Left(who Who) ([]Left, error) {
	out := []Left{}
	b.mu.Lock()
	defer b.mu.Unlock()
	err := b.journal.with(func() error {
		for _, l := range b.limits {
			name, ends := window(l.Window, b.journal.now())
			c := counter{l.Ruling.Rule, who.of(l.Per), name}
			spent, held := b.journal.book.spent[c], b.journal.book.held[c]
			one := Left{ID: l.Ruling.Rule, Per: l.Per, Window: l.Window, Reason: l.Ruling.Reason}
			if !ends.IsZero() {
				one.Ends = &ends
			}
			count := func(n int64) string { return fmt.Sprint(n) }
			one.USD = left(spent.nano, held.nano, l.NanoUSD, func(n int64) string { return usd.Nano(n).String() })
			one.Tokens = left(spent.tokens, held.tokens, l.Tokens, count)
			one.Requests = left(spent.requests, held.requests, l.Requests, count)
			out = append(out, one)
		}
		return nil
	})
	return out, err
}

func left(spent, held, of int64, text func(int64) string) *Amount {
	if of == 0 {
		return nil
	}
	return &Amount{text(spent), text(held), text(of), text(max(0, of-plus(spent, held)))}
}

// String is one line for a person.
func (l Left) String() string {
	s := l.ID + ": "
	for _, x := range []struct {
		a    *Amount
		unit string
	}{{l.USD, "$"}, {l.Tokens, ""}, {l.Requests, ""}} {
		if x.a == nil {
			continue
		}
		what := map[*Amount]string{l.Tokens: " tokens", l.Requests: " requests"}[x.a]
		s += x.unit + x.a.Left + " of " + x.unit + x.a.Limit + what + " left, "
	}
	s += "per " + l.Per
	if l.Window != "" {
		s += " and " + l.Window
	}
	return s
}
