package book

import (
	"encoding/hex"
	"io"
	"time"
)

const wallLayout = "2006-01-02T15:04:05.000000000Z" // RFC 3339, always nanoseconds, always UTC

// stepLimit is how far wall and monotonic clock may drift apart before the
// ledger says so.
const stepLimit = 100 * time.Millisecond

// clock compares the wall clock with a clock that nobody can set.
type clock struct {
	now  func() time.Time
	mono func() time.Duration
	wall time.Time     // at the last agreement
	at   time.Duration // the monotonic clock then
}

func newClock(now func() time.Time, mono func() time.Duration) clock {
	return clock{now: now, mono: mono, wall: now().Round(0), at: mono()}
}

// read returns both clocks, and by how much the wall clock has been set since
// the last agreement, if that is more than the limit.
func (c *clock) read() (wall time.Time, mono time.Duration, step time.Duration) {
	wall, mono = c.now().Round(0), c.mono()
	step = wall.Sub(c.wall) - (mono - c.at)
	if step.Abs() <= stepLimit {
		return wall, mono, 0
	}
	c.wall, c.at = wall, mono
	return wall, mono, step
}

// newID makes a UUIDv7 (RFC 9562, section 5.7).
func newID(rand io.Reader, now time.Time) (string, error) {
	var u [16]byte
	if _, err := io.ReadFull(rand, u[6:]); err != nil {
		return "", err
	}
	ms := uint64(now.UnixMilli())
	for i := range 6 {
		u[i] = byte(ms >> (40 - 8*i))
	}
	u[6] = u[6]&0x0f | 0x70
	u[8] = u[8]&0x3f | 0x80
	b := make([]byte, 0, 36)
	for i, part := range [][]byte{u[:4], u[4:6], u[6:8], u[8:10], u[10:]} {
		if i > 0 {
			b = append(b, '-')
		}
		b = hex.AppendEncode(b, part)
	}
	return string(b), nil
}

// GoodID reports whether an id that came with a record can stand in it as it is.
func GoodID(s string) bool {
	if len(s) == 0 || len(s) > 64 {
		return false
	}
	for _, c := range []byte(s) {
		if c <= ' ' || c >= 0x7f || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}
