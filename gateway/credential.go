package gateway

import (
	"crypto/subtle"

	"github.com/countersign/countersign/gateway/envelope"
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
			c.refuse(wire.Policy, "gateway-subscription", "this is "+plan+": a personal subscription stays outside, the "+c.whose()+" own token is good here. Log the agent out of it")
			return false
		}
	}
	c.refuse(wire.Auth, "gateway-token", "only the "+c.whose()+" own token is good here; a personal key or login stays outside")
	return false
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
