package main

import (
	"bufio"
	"bytes"
	"fmt"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"
)

// ledgerFigures are a commit against one fdatasync, the cost of an append, and
// the speed of a verification, as the ledger's own benchmarks measure them.
func ledgerFigures() ([]row, error) {
	var all []byte
	for _, run := range [][]string{{"-bench", "Commit|Append"}, {"-bench", "Verify", "-cpu", "1"}} {
		out, err := exec.Command("go", append([]string{"test", "./ledger", "-run", "^$", "-count", "3"}, run...)...).CombinedOutput()
		if err != nil {
			return nil, fmt.Errorf("%w: %s", err, out)
		}
		all = append(all, out...)
	}
	got := metrics(all)
	us := func(name string) string {
		return short(time.Duration(got[name].median * float64(time.Microsecond)))
	}
	commit, verify := got["ratio-p50"], got["records/cpu-s"]
	return []row{
		{what: "ledger commit p50 against one fdatasync", way: "-", bare: us("raw-p50-us"), inside: us("commit-p50-us"), unit: "x", min: commit.min, median: commit.median, aim: 1.6},
		{what: "ledger append p50, not flushed", way: "-", bare: "-", inside: us("p50-us"), unit: "us", min: got["p50-us"].min, median: got["p50-us"].median},
		{what: "ledger verify, a core", way: "-", bare: "-", inside: "-", unit: "records/s", min: verify.max, median: verify.median, aim: 300000, atLeast: true},
	}, nil
}

type spread struct{ min, median, max float64 }

// metrics reads the extra columns of `go test -bench`, a number and its unit
// each (golang.org/design/14313-benchmark-format).
func metrics(out []byte) map[string]spread {
	all := map[string][]float64{}
	for sc := bufio.NewScanner(bytes.NewReader(out)); sc.Scan(); {
		f := strings.Fields(sc.Text())
		if len(f) < 4 || !strings.HasPrefix(f[0], "Benchmark") {
			continue
		}
		for i := 2; i+1 < len(f); i += 2 {
			if v, err := strconv.ParseFloat(f[i], 64); err == nil {
				all[f[i+1]] = append(all[f[i+1]], v)
			}
		}
	}
	got := map[string]spread{}
	for unit, v := range all {
		slices.Sort(v)
		got[unit] = spread{v[0], v[len(v)/2], v[len(v)-1]}
	}
	return got
}
