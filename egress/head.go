package egress

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
)

// head is a request's first line and fields, as they came.
type head struct {
	method, uri string
	minor       int // of HTTP/1.x
	fields      []field
	size        int // bytes, the empty line included
}

type field struct{ name, value string } // the name in lower case

// maxFields bounds the fields of a request.
const maxFields = 200

// fault is a request that is refused: the status of the answer, and why.
type fault struct {
	status int
	why    string
}

func (f *fault) Error() string { return f.why }

func bad(format string, args ...any) *fault { return &fault{400, fmt.Sprintf(format, args...)} }

// parseHead reads a head, up to and with its empty line, more strictly than RFC
// 9112 asks of a recipient: every leniency is one that the next reader may not
// share.
func parseHead(b []byte) (head, error) {
	h := head{size: len(b)}
	lines, ok := bytes.CutSuffix(b, []byte("\r\n\r\n"))
	if !ok {
		return h, bad("no empty line ends the head")
	}
	for i, line := range bytes.Split(lines, []byte("\r\n")) {
		for _, c := range line {
			if c < 0x20 && c != '\t' || c == 0x7f {
				return h, bad("line %d holds a control character", i+1)
			}
		}
		if i > maxFields {
			return h, &fault{431, fmt.Sprintf("more than %d fields", maxFields)}
		}
		var err error
		if i == 0 {
			err = h.first(string(line))
		} else {
			err = h.field(string(line))
		}
		if err != nil {
			return h, err
		}
	}
	return h, nil
}

func (h *head) first(line string) error {
	parts := strings.Split(line, " ")
	if len(parts) != 3 || !token(parts[0]) || parts[1] == "" || !ascii(parts[1]) {
		return bad("the first line is not METHOD TARGET HTTP/1.1")
	}
	h.method, h.uri = parts[0], parts[1]
	switch parts[2] {
	case "HTTP/1.1":
		h.minor = 1
	case "HTTP/1.0":
	default:
		return &fault{505, "only HTTP/1.0 and HTTP/1.1 are spoken here"}
	}
	return nil
}

func (h *head) field(line string) error {
	name, value, ok := strings.Cut(line, ":")
	if !ok || !token(name) { // a folded line and a blank before the colon among them
		return bad("a field without a proper name")
	}
	h.fields = append(h.fields, field{strings.ToLower(name), strings.Trim(value, " \t")})
	return nil
}

// all returns the values of a field.
func (h *head) all(name string) (out []string) {
	for _, f := range h.fields {
		if f.name == name {
			out = append(out, f.value)
		}
	}
	return out
}

// where finds what the request is for, and refuses what could be understood in
// more than one way: about its host, or about where it ends.
func (h *head) where() (to target, connect bool, err error) {
	hosts := h.all("host")
	if len(hosts) > 1 {
		return to, false, bad("more than one Host")
	}
	if err := h.framed(); err != nil {
		return to, false, err
	}
	authority, port := h.uri, 0
	if connect = h.method == "CONNECT"; !connect {
		if authority, err = h.absolute(); err != nil {
			return to, false, err
		}
		port = 80
	}
	if to, err = parseAuthority(authority, port); err != nil {
		return to, connect, bad("%q: %v", authority, err)
	}
	if len(hosts) == 0 {
		if h.minor == 1 && !connect {
			return to, connect, bad("no Host")
		}
		return to, connect, nil
	}
	if port == 0 {
		port = to.port // some leave the tunnel's port out of Host
	}
	if said, err := parseAuthority(hosts[0], port); err != nil || said != to {
		return to, connect, bad("the request is for %s and its Host for %q", to, hosts[0])
	}
	return to, connect, nil
}

// absolute is the authority of the absolute form (RFC 9112, 3.2.2).
func (h *head) absolute() (string, error) {
	scheme, rest, ok := strings.Cut(h.uri, "://")
	switch {
	case !ok:
		return "", bad("this is a proxy: it takes CONNECT HOST:PORT and absolute addresses")
	case !strings.EqualFold(scheme, "http"):
		return "", bad("%s goes through CONNECT", scheme)
	case strings.Contains(rest, "#"):
		return "", bad("the address has a fragment")
	}
	if i := strings.IndexAny(rest, "/?"); i >= 0 {
		rest = rest[:i]
	}
	return rest, nil
}

// framed holds the request to one way of finding its end (RFC 9112, 6).
func (h *head) framed() error {
	lengths, codings := h.all("content-length"), h.all("transfer-encoding")
	switch {
	case len(lengths)+len(codings) > 1:
		return bad("more than one field says where the body ends")
	case len(lengths)+len(codings) > 0 && h.method == "CONNECT":
		return bad("CONNECT has no body")
	case len(lengths) == 1 && (lengths[0] == "" || len(lengths[0]) > 18 || strings.Trim(lengths[0], "0123456789") != ""):
		return bad("Content-Length is no number")
	case len(codings) == 1 && (!strings.EqualFold(codings[0], "chunked") || h.minor == 0):
		return bad("Transfer-Encoding is not chunked")
	}
	if e := h.all("expect"); len(e) > 1 || len(e) == 1 && !strings.EqualFold(e[0], "100-continue") {
		return &fault{417, "an Expect that nobody knows"}
	}
	return nil
}

func token(s string) bool {
	for i := range len(s) {
		c := s[i]
		if c <= ' ' || c >= 0x7f || strings.IndexByte(`"(),/:;<=>?@[\]{}`, c) >= 0 {
			return false
		}
	}
	return s != ""
}

func ascii(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7f {
			return false
		}
	}
	return true
}

var errGone = errors.New("the client is gone")

// readHead waits for a whole head; it stays in the reader.
func (c *client) readHead() (head, error) {
	seen := 0
	for {
		b, _ := c.br.Peek(c.br.Buffered())
		if i := bytes.Index(b[max(seen-3, 0):], []byte("\r\n\r\n")); i >= 0 {
			return parseHead(b[:max(seen-3, 0)+i+4])
		}
		for i := seen; i < len(b); i++ {
			if b[i] == '\n' && (i == 0 || b[i-1] != '\r') {
				return head{}, bad("a line ends without a carriage return")
			}
		}
		if len(b) >= maxHead {
			return head{}, &fault{431, fmt.Sprintf("the head is longer than %d bytes", maxHead)}
		}
		seen = len(b)
		if _, err := c.br.Peek(len(b) + 1); err != nil {
			if isTimeout(err) {
				return head{}, &fault{408, "the head did not come in time"}
			}
			return head{}, errGone
		}
	}
}
