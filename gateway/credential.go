package gateway

import (
	"crypto/subtle"
	"net/http"
	"time"

	countersign "github.com/countersign/countersign"
	"github.com/countersign/countersign/gateway/envelope"
	"github.com/countersign/countersign/gateway/strangers"
	"github.com/countersign/countersign/gateway/wire"
)

// authentic answers for a request without the session's token, or with another
// credential beside it, and says whether all is well: a personal key or login
// must not get through unseen.
func (c *call) authentic() bool {
	all := envelope.Credentials(c.r)
	ok := len(all) > 0
	for _, v := range all {
		ok = ok && v == all[0]
	}
	if ok && c.known(all[0]) {
		return true
	}
	for _, v := range all {
		if plan := envelope.ConsumerPlan(v); plan != "" {
			c.stranger(wire.Policy, "gateway-subscription", "this is "+plan+": a personal subscription stays outside, the "+c.whose()+" own token is good here. Log the agent out of it")
			return false
		}
	}
	c.stranger(wire.Auth, "gateway-token", "only the "+c.whose()+" own token is good here; a personal key or login stays outside")
	return false
}

// unread is how long is waited for the rest of a request that nobody will read, in
// whose middle the connection would break before the answer is read.
const unread = 2 * time.Second

// stranger refuses who may not ask: floods of it are counted, and the connection
// ends, as it is no use to anybody.
func (c *call) stranger(why wire.Reason, rule, reason string) {
	_ = http.NewResponseController(c.w).SetReadDeadline(c.g.Now().Add(unread)) // what has none has its answer already
	c.w.Header().Set("Connection", "close")
	ruling := countersign.Ruling{Verdict: countersign.Deny, Rule: rule, Reason: reason}
	place := strangers.Place(c.r.RemoteAddr)
	if c.g.Holder != nil { // in a session they are all of this machine
		c.from = place
	}
	if c.g.open() == nil && !c.g.strangers.Refused(rule, place, c.request(ruling, 0, nil)) {
		c.answer(c.wire.Refuse(c.route, why, "Countersign: "+reason), true)
		return
	}
	c.deny(ruling, why, reason)
}

func (c *call) whose() string {
	if c.g.Holder != nil {
		return "gateway's"
	}
	return "session's"
}

// known says whether this is the session's token, or that of a holder.
func (c *call) known(token string) (ok bool) {
	if c.g.Holder != nil {
		c.holder, ok = c.g.Holder(token)
		return ok
	}
	return c.g.Token != "" && subtle.ConstantTimeCompare([]byte(token), []byte(c.g.Token)) == 1
}
