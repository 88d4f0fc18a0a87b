package session

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	countersign "github.com/countersign/countersign"
)

// ProtocolVersion is the version of the control socket. A client says its own;
// a session answers in a version it knows or says what to do.
const ProtocolVersion = 2

// versionOf is the oldest version that answers an op as this program asks it. A
// review's are of version 2, which its first question finds out; all others are
// as they were, so that a session of an older program can be answered and ended.
func versionOf(op string) int {
	if strings.HasPrefix(op, "layer.") {
		return 2
	}
	return 1
}

const maxFrame = 64 << 20

// Call is one question to a live session. The wire is a big-endian uint32
// length and JSON, both ways; descriptors travel with the first byte.
type Call struct {
	V    int             `json:"v"`
	Op   string          `json:"op"`
	Args json.RawMessage `json:"args,omitempty"`
}

// Reply is its answer.
type Reply struct {
	V      int              `json:"v"`
	OK     json.RawMessage  `json:"ok,omitempty"`
	Error  string           `json:"error,omitempty"`
	Code   countersign.Code `json:"code,omitempty"`
	Remedy string           `json:"remedy,omitempty"`
}

// Handler answers one op. The files are the caller's descriptors, if it sent
// any; the handler closes them.
type Handler func(ctx context.Context, args json.RawMessage, files []*os.File) (any, error)

// Serve answers calls on a session's control socket until ctx ends. Only
// processes of the same user are answered (SO_PEERCRED), and none of the
// sandbox can see the socket: the runtime directory is not in its view.
func Serve(ctx context.Context, path string, handlers map[string]Handler) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	_ = os.Remove(path)
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return fmt.Errorf("listen on %s: %w", path, err)
	}
	go func() {
		<-ctx.Done()
		l.Close()
		os.RemoveAll(filepath.Dir(path))
	}()
	go func() {
		for {
			c, err := l.AcceptUnix()
			if err != nil {
				return
			}
			go serveOne(ctx, c, handlers)
		}
	}()
	return nil
}

func serveOne(ctx context.Context, c *net.UnixConn, handlers map[string]Handler) {
	defer c.Close()
	if uid, err := peerUID(c); err != nil || uid != os.Getuid() {
		return
	}
	call, files, err := readCall(c)
	if err != nil {
		return
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() { // the caller going away ends its call
		var b [1]byte
		if _, err := c.Read(b[:]); err != nil {
			cancel()
		}
	}()
	reply := Reply{V: ProtocolVersion}
	h := handlers[call.Op]
	var out any
	switch {
	case call.V > ProtocolVersion:
		err = &countersign.Error{Code: countersign.EInvalid, Op: "answer", Thing: call.Op, Err: errors.New("it was started by an older countersign"), Remedy: "use that version for it, or `countersign stop` it and start anew"}
	case h == nil:
		err = &countersign.Error{Code: countersign.EInvalid, Op: "answer", Thing: call.Op, Err: errors.New("it does not know the question"), Remedy: "the session may be of another version: `countersign version`"}
	default:
		out, err = h(ctx, call.Args, files)
	}
	if err != nil {
		reply.Error, reply.Code, reply.Remedy = err.Error(), countersign.CodeOf(err), countersign.RemedyOf(err)
	} else if reply.OK, err = json.Marshal(out); err != nil {
		reply.Error = err.Error()
	}
	b, _ := json.Marshal(reply)
	_ = writeFrame(c, b)
}

func peerUID(c *net.UnixConn) (int, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return -1, err
	}
	uid, cerr := -1, error(nil)
	err = raw.Control(func(fd uintptr) { uid, cerr = credUID(int(fd)) })
	return uid, errors.Join(err, cerr)
}

// readCall reads one frame and the descriptors that came with its first bytes.
func readCall(c *net.UnixConn) (Call, []*os.File, error) {
	var call Call
	head, oob := make([]byte, 4), make([]byte, 256)
	n, oobn, _, _, err := c.ReadMsgUnix(head, oob)
	if err != nil {
		return call, nil, err
	}
	files, err := rights(oob[:oobn])
	if err != nil {
		return call, nil, err
	}
	if _, err := io.ReadFull(c, head[n:]); err != nil {
		return call, files, err
	}
	b, err := readBody(c, head)
	if err != nil {
		return call, files, err
	}
	return call, files, json.Unmarshal(b, &call)
}

func readBody(r io.Reader, head []byte) ([]byte, error) {
	n := binary.BigEndian.Uint32(head)
	if n > maxFrame {
		return nil, fmt.Errorf("frame of %d bytes is too long", n)
	}
	b := make([]byte, n)
	_, err := io.ReadFull(r, b)
	return b, err
}

func writeFrame(w io.Writer, b []byte) error {
	_, err := w.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(b))), b...))
	return err
}

// Ask sends a call to a live session and decodes its answer into out (which may
// be nil). A session that is not there is ENotFound.
func Ask(ctx context.Context, path, op string, args, out any, files ...*os.File) error {
	c, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return &countersign.Error{Code: countersign.ENotFound, Op: "reach the session at", Thing: path, Err: err, Remedy: "it has ended: `countersign sessions`"}
	}
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { c.SetDeadline(time.Now()) })
	defer stop()
	if err := send(c, op, args, files); err != nil {
		return err
	}
	head := make([]byte, 4)
	if _, err := io.ReadFull(c, head); err != nil {
		return &countersign.Error{Code: countersign.EClosed, Op: "ask the session", Thing: op, Err: err, Remedy: "it ended while it was asked"}
	}
	b, err := readBody(c, head)
	if err != nil {
		return err
	}
	var reply Reply
	if err := json.Unmarshal(b, &reply); err != nil {
		return err
	}
	if reply.Error != "" {
		return &countersign.Error{Code: reply.Code, Op: reply.Error, Remedy: reply.Remedy} // it has named what and where
	}
	if out == nil || len(reply.OK) == 0 {
		return nil
	}
	return json.Unmarshal(reply.OK, out)
}

func send(c *net.UnixConn, op string, args any, files []*os.File) error {
	a, err := json.Marshal(args)
	if err != nil {
		return err
	}
	call := Call{V: versionOf(op), Op: op, Args: a}
	b, err := json.Marshal(call)
	if err != nil {
		return err
	}
	head := binary.BigEndian.AppendUint32(nil, uint32(len(b)))
	if len(files) > 0 {
		_, _, err = c.WriteMsgUnix(head, passed(files), nil)
	} else {
		_, err = c.Write(head)
	}
	if err == nil {
		_, err = c.Write(b)
	}
	return err
}

// Closers runs functions in the reverse order of their adding, once.
type Closers struct {
	mu sync.Mutex
	fs []func()
}

// Add puts a function on the pile.
func (c *Closers) Add(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fs = append(c.fs, f)
}

// Close runs what is on the pile.
func (c *Closers) Close() {
	c.mu.Lock()
	fs := c.fs
	c.fs = nil
	c.mu.Unlock()
	for i := len(fs) - 1; i >= 0; i-- {
		fs[i]()
	}
}
