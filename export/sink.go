package export

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	countersign "github.com/countersign/countersign"
	"github.com/countersign/countersign/internal/loopback"
)

// Format says how a batch is written.
type Format interface {
	// Posts are the requests that hand a batch over, by path below the receiver's
	// address.
	Posts(batch []Line) ([]Post, error)
	// Taken reads what the receiver said to one of them.
	Taken(answer []byte) error
}

// Post is one request.
type Post struct {
	Path, Media string
	Body        []byte
}

// Writer is a sink that writes to a file or a pipe: what was written without an
// error is taken, and of a file on disk, what has reached it.
type Writer struct {
	W io.Writer
	Format
}

// Send writes the batch, each post as lines.
func (w Writer) Send(_ context.Context, batch []Line) error {
	posts, err := w.Posts(batch)
	if err != nil {
		return err
	}
	for _, p := range posts {
		if _, err := w.W.Write(append(bytes.TrimRight(p.Body, "\n"), '\n')); err != nil {
			return fmt.Errorf("write records: %w", err)
		}
	}
	f, ok := w.W.(*os.File)
	if !ok {
		return nil
	}
	if fi, err := f.Stat(); err != nil || !fi.Mode().IsRegular() {
		return err
	}
	return f.Sync()
}

// HTTP is a sink that posts to a receiver's address.
type HTTP struct {
	Base   *url.URL
	Header http.Header // the receiver's credentials
	Client *http.Client
	Now    func() time.Time
	Format
}

// NewHTTP checks the address. http is for a receiver on this machine: records
// and credentials do not cross a network in clear.
func NewHTTP(address string, header http.Header, f Format, now func() time.Time) (*HTTP, error) {
	u, err := url.Parse(address)
	if err == nil && (u.Host == "" || u.User != nil || u.Scheme != "https" && (u.Scheme != "http" || !loopback.Is(u.Hostname()))) {
		err = errors.New("it is no address of a receiver")
	}
	if err != nil {
		return nil, &countersign.Error{Code: countersign.EUsage, Op: "export to", Thing: address, Err: err, Remedy: "write https://host[:port][/path]; http is for a receiver on this machine; credentials go into --header-file"}
	}
	return &HTTP{Base: u, Header: header, Format: f, Now: now, Client: &http.Client{
		Timeout: time.Minute,
		CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse // the credentials are the receiver's alone
		},
	}}, nil
}

// Send posts the batch. All of its posts are sent again if one is not taken.
func (h *HTTP) Send(ctx context.Context, batch []Line) error {
	posts, err := h.Posts(batch)
	if err != nil {
		return err
	}
	for _, p := range posts {
		if err := h.post(ctx, p); err != nil {
			return err
		}
	}
	return nil
}

func (h *HTTP) post(ctx context.Context, p Post) error {
	u := *h.Base
	if p.Path != "" {
		u = *h.Base.JoinPath(p.Path)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, u.String(), bytes.NewReader(p.Body))
	if err != nil {
		return err
	}
	for name, values := range h.Header {
		req.Header[name] = values
	}
	req.Header.Set("Content-Type", p.Media)
	resp, err := h.Client.Do(req)
	if err != nil {
		return &Busy{Err: h.fault(err)}
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if err != nil {
		return &Busy{Err: h.fault(err)}
	}
	switch resp.StatusCode {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return &Busy{After: h.after(resp.Header.Get("Retry-After")), Err: h.fault(errors.New("it answered " + resp.Status))}
	}
	if resp.StatusCode/100 != 2 {
		return h.fault(fmt.Errorf("it answered %s: %.300q", resp.Status, answer))
	}
	if err := h.Taken(answer); err != nil {
		return h.fault(err)
	}
	return nil
}

// after reads Retry-After: seconds, or a date (RFC 9110, section 10.2.3).
func (h *HTTP) after(v string) time.Duration {
	if n, err := strconv.Atoi(strings.TrimSpace(v)); err == nil && n >= 0 {
		return time.Duration(n) * time.Second
	}
	if t, err := http.ParseTime(v); err == nil {
		return max(0, t.Sub(h.Now()))
	}
	return 0
}

func (h *HTTP) fault(err error) error {
	return &countersign.Error{Code: countersign.EInternal, Op: "export to", Thing: h.Base.Redacted(), Err: err, Remedy: "nothing is lost: the cursor stands before what was not taken, and the next export goes on there"}
}

// JSONL is each record as it lies in the ledger, one a line.
type JSONL struct{}

// Posts is the lines in one post.
func (JSONL) Posts(batch []Line) ([]Post, error) {
	var b bytes.Buffer
	for _, l := range batch {
		b.Write(bytes.TrimSpace(l.JSON))
		b.WriteByte('\n')
	}
	return []Post{{Media: "application/x-ndjson", Body: b.Bytes()}}, nil
}

// Taken believes the status.
func (JSONL) Taken([]byte) error { return nil }
