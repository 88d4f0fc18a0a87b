// Package aside takes an answer that is put together with others.
//
// It promises: what is written stays as it is, and goes nowhere. It touches nothing.
package aside

import "net/http"

// Answer is one in memory. It implements http.ResponseWriter.
type Answer struct {
	Status int
	Body   []byte
	header http.Header
}

// Header implements http.ResponseWriter.
func (a *Answer) Header() http.Header {
	if a.header == nil {
		a.header = http.Header{}
	}
	return a.header
}

// WriteHeader implements http.ResponseWriter.
func (a *Answer) WriteHeader(status int) { a.Status = status }

// Write implements http.ResponseWriter.
func (a *Answer) Write(p []byte) (int, error) {
	a.Body = append(a.Body, p...)
	return len(p), nil
}
