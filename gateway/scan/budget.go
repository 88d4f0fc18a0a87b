package scan

import "errors"

// ErrBudget says that a text would cost more than it is given: whoever asked must
// treat it as if it held a secret.
var ErrBudget = errors.New("the scan for secrets does not end in its time")

// Budget bounds the work on one request, in nanoseconds as a usual core spends
// them. It counts steps, not the clock, so that a machine under load refuses
// nothing that an idle one lets pass.
type Budget struct{ left int }

// NewBudget returns what a request of so many bytes is given: a quarter of a
// second, and what the ordinary text of that size costs several times over.
func NewBudget(bytes int) *Budget { return &Budget{250_000_000 + 200*bytes} }

func (b *Budget) spend(n int) error {
	if b.left -= n; b.left < 0 {
		return ErrBudget
	}
	return nil
}
