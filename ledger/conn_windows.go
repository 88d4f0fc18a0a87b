package ledger

import (
	"errors"
	"net"
	"time"
)

// errWindows is the honest answer until the ledger process is built there.
var errWindows = errors.New("the ledger process does not run on Windows yet")

type rawConn struct{}

func raw(*net.UnixConn) (*rawConn, error)         { return nil, errWindows }
func (c *rawConn) Read([]byte) (int, error)       { return 0, errWindows }
func (c *rawConn) Write([]byte) (int, error)      { return 0, errWindows }
func (c *rawConn) polled() (net.Conn, error)      { return nil, errWindows }
func (c *rawConn) poll() error                    { return errWindows }
func (c *rawConn) hangUp()                        {}
func (c *rawConn) hangUpRead()                    {}
func (c *rawConn) close()                         {}
func (c *rawConn) peerUID() (int, error)          { return -1, errWindows }
func (c *rawConn) readWithin(time.Duration) error { return errWindows }
func bootClock() time.Duration                    { return time.Since(time.Time{}) }
func bootID() string                              { return "" }
