package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"
)

const (
	fetches   = 200
	bulkBytes = 1 << 30
)

// fetch measures, from where it runs, a host's answer on a new connection and the
// time of a large one, and prints them. It goes through the proxy, by CONNECT, if
// the environment names one.
func fetch(host string) error {
	got := map[string]time.Duration{}
	var each []time.Duration
	for range fetches {
		begun := time.Now()
		if _, err := get(host, "/small"); err != nil {
			return err
		}
		each = append(each, time.Since(begun))
	}
	got["p50"], got["p99"] = percentile(each, 50), percentile(each, 99)
	begun := time.Now()
	n, err := get(host, "/bulk")
	if err != nil || n != bulkBytes {
		return errors.Join(err, fmt.Errorf("%d bytes came", n))
	}
	got["bulk"] = time.Since(begun)
	return json.NewEncoder(os.Stdout).Encode(got)
}

// get opens a connection, asks for a path, and reads the answer.
func get(host, path string) (int64, error) {
	to := host
	proxy, found := strings.CutPrefix(os.Getenv("HTTP_PROXY"), "http://")
	if found {
		to = proxy
	}
	c, err := net.Dial("tcp", to)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	br := bufio.NewReaderSize(c, 256<<10)
	if found {
		fmt.Fprintf(c, "CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\n", host, host)
		resp, err := http.ReadResponse(br, &http.Request{Method: "CONNECT"})
		if err != nil || resp.StatusCode != http.StatusOK {
			return 0, errors.Join(err, fmt.Errorf("the proxy says %v", resp))
		}
	}
	fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: %s\r\n\r\n", path, host)
	resp, err := http.ReadResponse(br, nil)
	if err != nil {
		return 0, err
	}
	return io.Copy(io.Discard, resp.Body)
}
