package gateway

import (
	"bytes"
	"io"
	"net/http"
	"time"

	"github.com/countersign/countersign/gateway/envelope"
	"github.com/countersign/countersign/gateway/screen"
)

// keepFailure records a provider's error with its words.
func (c *call) keepFailure(resp *http.Response) {
	var b []byte
	if c.status != http.StatusSwitchingProtocols { // its bytes are of no answer, and have no end
		b, _ = io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	}
	resp.Body.Close()
	c.keep(envelope.Blank(c.key, b))
	c.close()
}

// rotated reports, after a provider refused the key, whether another has taken
// its place meanwhile, and makes ready for a second attempt, which has records
// of its own. There is no third.
func (c *call) rotated() bool {
	if c.status != http.StatusUnauthorized && c.status != http.StatusForbidden || c.key == "" {
		return false
	}
	c.g.keys.Forget(c.provider.Name, c.key)
	if c.again {
		return false
	}
	key, err := c.g.key(c.r.Context(), c.provider)
	if err != nil || key == c.key {
		return false
	}
	c.again = true
	c.use(key)
	c.answered, c.unscanned = screen.Found{}, false
	c.kept, c.cut, c.tally, c.heardTo, c.said, c.partial = bytes.Buffer{}, false, nil, 0, nil, ""
	c.first, c.ended = time.Time{}, time.Time{}
	return true
}
