//go:build amd64 || arm64

package live

import (
	"github.com/countersign/countersign"
)

// selfAnswer answers the requests of a self-test's session in the person's place,
// and says so in every decision.
func (s *live) selfAnswer(changed <-chan struct{}) {
	for {
		select {
		case <-s.ctx.Done():
			return
		case <-changed:
		}
		for _, r := range s.desk.Open(s.id) {
			if !r.Pending {
				continue
			}
			a := countersign.Approval{By: "selftest", Means: countersign.MeansSelftest, Granted: s.opt.Selftest(r)}
			if !a.Granted {
				a.Reason = "a self-test approves its own attempts only"
			}
			// One that wants more than a yes (a typed word) is denied.
			if err := s.answer(r.ID, r.Digest, a); err != nil && a.Granted {
				_ = s.answer(r.ID, r.Digest, countersign.Approval{By: a.By, Means: a.Means, Reason: err.Error()})
			}
		}
	}
}
