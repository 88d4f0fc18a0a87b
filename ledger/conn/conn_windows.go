package conn

import (
	"errors"
	"net"
	"time"
)

// errWindows is the honest answer until the ledger process is built there.
var errWindows = errors.New("the ledger process does not run on Windows yet")

type Conn struct{}

func Take(*net.UnixConn) (*Conn, error)        { return nil, errWindows }
func (c *Conn) Read([]byte) (int, error)       { return 0, errWindows }
func (c *Conn) Write([]byte) (int, error)      { return 0, errWindows }
func (c *Conn) Polled() (net.Conn, error)      { return nil, errWindows }
func (c *Conn) Poll() error                    { return errWindows }
func (c *Conn) HangUp()                        {}
func (c *Conn) HangUpRead()                    {}
func (c *Conn) Close()                         {}
func (c *Conn) PeerUID() (int, error)          { return -1, errWindows }
func (c *Conn) ReadWithin(time.Duration) error { return errWindows }
