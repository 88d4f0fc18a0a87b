package envelope

import (
	"bufio"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// Plain makes an answer one whose bytes are what it says: a provider that
// compresses although it was asked not to would pass by whoever reads beside
// the stream. Of the codings (RFC 9110, section 8.4) it undoes gzip; another is
// an error, as is more than one.
func Plain(resp *http.Response) error {
	coding := strings.ToLower(strings.TrimSpace(strings.Join(resp.Header.Values("Content-Encoding"), ",")))
	switch coding {
	case "", "identity":
	case "gzip", "x-gzip":
		resp.Body = &unzipped{src: resp.Body}
		resp.ContentLength = -1
	default:
		return fmt.Errorf("the answer comes in a coding that was not asked for (%.40q)", coding)
	}
	resp.Header.Del("Content-Encoding")
	return nil
}

// unzipped reads the header with the first bytes that somebody wants, as they
// may come late.
type unzipped struct {
	src io.ReadCloser
	z   *gzip.Reader
}

func (u *unzipped) Read(p []byte) (n int, err error) {
	if u.z == nil {
		if u.z, err = gzip.NewReader(bufio.NewReader(u.src)); err != nil {
			return 0, err // io.EOF: there is no body
		}
	}
	return u.z.Read(p)
}

func (u *unzipped) Close() error { return u.src.Close() }
