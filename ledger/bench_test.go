//go:build unix

package ledger_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/countersign/countersign/ledger"
	"github.com/countersign/countersign/ledger/disk"
)

// BenchmarkCommit compares a durable record over the socket with one raw
// fdatasync of the same bytes, in turns, in the same run.
func BenchmarkCommit(b *testing.B) {
	dir := b.TempDir()
	c := benchClient(b, dir)
	f, err := disk.Dir(dir).Create("raw")
	if err != nil {
		b.Fatal(err)
	}
	if _, err := f.WriteAt(make([]byte, 1<<20), 0); err != nil {
		b.Fatal(err)
	}
	if err := f.Flush(); err != nil {
		b.Fatal(err)
	}
	frame := []byte(strings.Repeat("f", 900))
	var raw, commit []time.Duration
	off := int64(0)
	for b.Loop() {
		for i := range 20 {
			at := time.Now()
			if _, err := f.WriteAt(frame, off%(1<<20-900)); err != nil {
				b.Fatal(err)
			}
			if err := f.Flush(); err != nil {
				b.Fatal(err)
			}
			raw = append(raw, time.Since(at))
			off += 900
			at = time.Now()
			if _, err := c.Append(b.Context(), rec(i), true); err != nil {
				b.Fatal(err)
			}
			commit = append(commit, time.Since(at))
		}
	}
	r, k := p50(raw), p50(commit)
	b.ReportMetric(float64(r.Nanoseconds())/1e3, "raw-p50-us")
	b.ReportMetric(float64(k.Nanoseconds())/1e3, "commit-p50-us")
	b.ReportMetric(float64(k)/float64(r), "ratio-p50")
}

// BenchmarkAppend is a record that is not asked to be durable.
func BenchmarkAppend(b *testing.B) {
	c := benchClient(b, b.TempDir())
	var took []time.Duration
	r := rec(1)
	r.ID = "0190a5c0-0000-7000-8000-000000000001"
	for b.Loop() {
		at := time.Now()
		if _, err := c.Append(b.Context(), r, false); err != nil {
			b.Fatal(err)
		}
		took = append(took, time.Since(at))
	}
	b.ReportMetric(float64(p50(took).Nanoseconds())/1e3, "p50-us")
}

func benchClient(b *testing.B, dir string) *ledger.Client {
	b.Helper()
	done := make(chan error, 1)
	ready := false
	c, err := ledger.Dial(b.Context(), dirs(dir), func(context.Context) error {
		if ready {
			return nil
		}
		ready = true
		p, err := os.StartProcess(os.Args[0], os.Args[:1], &os.ProcAttr{Env: append(os.Environ(), "LEDGER_SERVE="+dir), Files: []*os.File{nil, os.Stderr, os.Stderr}})
		if err == nil {
			go func() { _, err := p.Wait(); done <- err }()
		}
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = c.Close(); <-done })
	return c
}

func p50(d []time.Duration) time.Duration {
	slices.Sort(d)
	return d[len(d)/2]
}

// BenchmarkVerify says how many records a second one core verifies; every
// tenth is followed by a checkpoint.
func BenchmarkVerify(b *testing.B) {
	dir := filepath.Join(fast(b), "ledger")
	bk := open(b, dir, 64<<20)
	const n = 100_000
	for i := range n {
		body := fmt.Sprintf(`"type":"exec.decided","session":"0190a5c0-0000-7000-8000-000000000001","actor":{"kind":"agent","peer":{"pid":%d,"uid":1000,"exe":"/usr/bin/git","argv":["git","status"]}},"action":{"kind":"exec","digest":"sha256:7fd1a60b01f91b314f59955a4e4d4e80d8edf11d7fd1a60b01f91b314f59955a","summary":"git status --porcelain","argv":["git","status","--porcelain"],"cwd":"/home/dev/project"},"policy":{"bundle":"sha256:7fd1a60b01f91b314f59955a4e4d4e80d8edf11d7fd1a60b01f91b314f59955a","rule":"git/read"},"decision":{"verdict":"allow","basis":"covered"},"cov":{"tier":"A"}}`, i)
		if _, err := bk.Append("", []byte(body), i%10 == 0); err != nil {
			b.Fatal(err)
		}
	}
	if err := bk.Close("bench"); err != nil {
		b.Fatal(err)
	}
	before := cpu(b)
	for b.Loop() {
		if _, err := ledger.Verify(dir, ledger.VerifyOptions{}); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "records/s")
	b.ReportMetric(float64(n)*float64(b.N)/(cpu(b)-before).Seconds(), "records/cpu-s")
}

// cpu is the processor time used so far: what others do on the machine does not
// count.
func cpu(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
