package gateway

import (
	"net/http"
	"time"

	"github.com/countersign/countersign/gateway/ping"
)

// quiet is how long an agent hears nothing of a held answer before it is told
// that it is under way.
const quiet = 10 * time.Second

// startPinger starts one for an answer that is held and whose wire has a ping;
// else it returns nil.
func (c *call) startPinger(flush *http.ResponseController, holds bool) *ping.Pinger {
	sign := c.wire.Ping(c.route, c.media)
	if !holds || sign == nil || c.status >= 400 {
		return nil
	}
	every := c.g.Quiet
	if every == 0 {
		every = quiet
	}
	return ping.New(every, func() bool {
		c.begin(c.status)
		_, err := c.w.Write(sign)
		return err == nil && flush.Flush() == nil
	})
}
