package envelope

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
)

const key = "sk-company-key-abcdef0123456789"

func TestFilterInAnyPieces(t *testing.T) {
	const text = "a" + key + "b" + key + key + "sk-company-key-other sk-comp"
	want := strings.ReplaceAll(text, key, strings.Repeat("*", len(key)))
	for size := 1; size <= len(text); size++ {
		f := NewFilter(key)
		var out []byte
		for b := []byte(text); len(b) > 0; {
			n := min(size, len(b))
			out = append(out, f.Next(b[:n])...)
			b = b[n:]
		}
		if out = f.Final(out); string(out) != want {
			t.Fatalf("in pieces of %d: %s", size, out)
		}
	}
}

func TestStraight(t *testing.T) {
	for path, want := range map[string]bool{
		"/v1/responses/resp_1": true, "/v1/models/gpt-5.2": true, "/openai/deployments/a%2Fb/chat/completions": true,
		"/v1beta/models/x%3AgenerateContent": true, "/v1/models/..a": true, "/": true,
		"/v1/responses/../x": false, "/v1/responses/%2e%2E/x": false, "/v1/responses/%252e%252e/x": false, "/v1/responses/./x": false,
		"/v1/responses/%2e%2e%2fx": false, `/v1/responses/..%5cx`: false, "/v1/responses/..;a/x": false, "/v1/responses/a%3Fb": false,
		"/v1/responses/a%23b": false, "/v1/responses/a%00b": false, "/v1/responses/%zz": false,
	} {
		if got := Straight(path); got != want {
			t.Errorf("%s: %v", path, got)
		}
	}
}

func TestCredentialsInAQuery(t *testing.T) {
	for _, tt := range []struct {
		query, rest string
		found       []string
	}{
		{"beta=true&key=a%2Fb&alt=sse", "beta=true&alt=sse", []string{"a/b"}},
		{"a=1;key=b;c=2&d", "a=1;c=2&d", []string{"b"}},
		{"Key=a&%6bey=b&access_token=c&OAUTH_TOKEN=d", "", []string{"a", "b", "c", "d"}},
		{"monkey=1&keys=2&key", "monkey=1&keys=2", []string{""}},
		{"key=%zz", "", []string{"%zz"}},
		{"", "", nil},
		{"a=1&&b=%zz", "a=1&&b=%zz", nil},
	} {
		r := httptest.NewRequest("POST", "/", nil)
		r.URL.RawQuery = tt.query
		if got := Credentials(r); !slices.Equal(got, tt.found) {
			t.Errorf("%s: %q", tt.query, got)
		}
		if got := Query(tt.query); got != tt.rest {
			t.Errorf("%s: goes on as %s", tt.query, got)
		}
	}
}

func TestHeadersThatStay(t *testing.T) {
	src, dst := http.Header{"X-Own": {"a", "b"}, "X-Listed": {"c"}, "Connection": {"x-listed, close"}}, http.Header{}
	for _, name := range []string{"Authorization", "Cookie", "X-HTTP-Method-Override", "Location", "Alt-Svc", "X-Portkey-Provider", "Ocp-Apim-Subscription-Key"} {
		src.Set(name, "x")
	}
	if Copy(dst, src); len(dst) != 1 || !slices.Equal(dst["X-Own"], src["X-Own"]) {
		t.Errorf("%v", dst)
	}
}

func zipped(t *testing.T, text string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := io.WriteString(z, text); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestPlain(t *testing.T) {
	z := zipped(t, "what it says")
	for _, tt := range []struct {
		name   string
		coding []string
		body   []byte
		want   string
		refuse bool
		cut    bool
	}{
		{name: "none", body: []byte("x"), want: "x"},
		{name: "identity", coding: []string{"Identity"}, body: []byte("x"), want: "x"},
		{name: "gzip", coding: []string{" GZIP"}, body: z, want: "what it says"},
		{name: "no body", coding: []string{"gzip"}},
		{name: "cut", coding: []string{"gzip"}, body: z[:len(z)-9], cut: true},
		{name: "no gzip", coding: []string{"gzip"}, body: []byte("this is not in gzip"), cut: true},
		{name: "twice", coding: []string{"gzip", "gzip"}, refuse: true},
		{name: "br", coding: []string{"br"}, refuse: true},
		{name: "made up", coding: []string{"identity, x"}, refuse: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			resp := &http.Response{Header: http.Header{"Content-Encoding": tt.coding}, Body: io.NopCloser(bytes.NewReader(tt.body))}
			if err := Plain(resp); err != nil || tt.refuse {
				if (err != nil) != tt.refuse {
					t.Error(err)
				}
				return
			}
			got, err := io.ReadAll(resp.Body)
			if (err != nil) != tt.cut || !tt.cut && string(got) != tt.want || resp.Header.Get("Content-Encoding") != "" {
				t.Errorf("%q %v %v", got, err, resp.Header)
			}
		})
	}
}
