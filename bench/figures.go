package main

import (
	"fmt"
	"slices"
	"time"
)

// figures are the rounds of each scene against each system, by "scene system",
// and the flushes of each round under yardsticks.
type figures map[string][]took

type metric func(took) float64

func p50(of func(took) []time.Duration) metric {
	return func(t took) float64 { return ms(percentile(of(t), 50)) }
}

func p99(of func(took) []time.Duration) metric {
	return func(t took) float64 { return ms(percentile(of(t), 99)) }
}

func total(t took) []time.Duration { return t.total }
func first(t took) []time.Duration { return t.first }
func hold(t took) []time.Duration  { return t.hold }
func spent(t took) float64         { return ms(t.perCall()) }
func spentByLedger(t took) float64 { return ms(t.ledgerCPU) / float64(max(1, len(t.total))) }
func memory(t took) float64        { return float64(t.rss) / megabyte }
func failures(t took) float64      { return float64(t.failed) }

// of is the metric in every round.
func (f figures) of(key string, m metric) (out []float64) {
	for _, t := range f[key] {
		out = append(out, m(t))
	}
	return out
}

func middle(v []float64) float64 {
	if len(v) == 0 {
		return 0
	}
	s := slices.Sorted(slices.Values(v))
	return s[len(s)/2]
}

// added is what a system adds to direct, in milliseconds, best and median of the
// rounds.
func (f figures) added(what, scene, sys string, m metric, aim float64) row {
	bare, in := f.of(scene+" direct", m), f.of(scene+" "+sys, m)
	var diff []float64
	for i := range in {
		diff = append(diff, in[i]-bare[i])
	}
	return row{
		what: what, way: sys, bare: milli(middle(bare)), inside: milli(middle(in)), unit: "ms",
		min: slices.Min(diff), median: middle(diff), aim: aim,
	}
}

// plain is a figure of a system; direct has the same where it has any.
func (f figures) plain(what, scene, sys, unit string, m metric, aim float64) row {
	in, bare := f.of(scene+" "+sys, m), "-"
	if v := middle(f.of(scene+" direct", m)); v > 0 && unit == "ms" {
		bare = milli(v)
	}
	return row{what: what, way: sys, bare: bare, inside: "-", unit: unit, min: slices.Min(in), median: middle(in), aim: aim}
}

// throughput is the rate of a system as a part of direct's.
func (f figures) throughput(scene, sys string, aim float64) row {
	bare, in := f.of(scene+" direct", took.rate), f.of(scene+" "+sys, took.rate)
	var part []float64
	for i := range in {
		part = append(part, in[i]/bare[i])
	}
	return row{
		what: scene + ": calls/s, part of direct", way: sys, bare: fmt.Sprintf("%.0f/s", middle(bare)), inside: fmt.Sprintf("%.0f/s", middle(in)), unit: "x",
		min: slices.Max(part), median: middle(part), aim: aim, atLeast: true,
	}
}

func milli(v float64) string { return fmt.Sprintf("%.2f ms", v) }

// rows is the table; the aims are the design's, with the flush of the same run
// where the record's own is part of the way.
func (f figures) rows() []row {
	flush, slow := middle(f.of(yardsticks[0], p50(total))), middle(f.of(yardsticks[0], p99(total)))
	var rows []row
	both := func(make func(sys string, aim float64) row, aim float64) {
		rows = append(rows, make("gateway", aim), make("proxy", 0))
	}
	added := func(what, scene string, m metric, aim float64) {
		both(func(sys string, aim float64) row { return f.added(what, scene, sys, m, aim) }, aim)
	}
	plain := func(what, scene, unit string, m metric, aim float64) {
		both(func(sys string, aim float64) row { return f.plain(what, scene, sys, unit, m, aim) }, aim)
	}
	for _, name := range yardsticks {
		rows = append(rows, row{what: name + ": p50, p99", way: "-", bare: "-", inside: "-", unit: "ms", min: middle(f.of(name, p50(total))), median: middle(f.of(name, p99(total)))})
	}
	added("whole c=1: added p50", "whole c=1", p50(total), 0.7+flush)
	added("whole c=1: added p99", "whole c=1", p99(total), 3+slow)
	plain("whole c=1: CPU a call, its ledger's in it", "whole c=1", "ms", spent, 0.8)
	rows = append(rows, f.plain("whole c=1: CPU a call, of the ledger alone", "whole c=1", "gateway", "ms", spentByLedger, 0))
	added("stream c=1: added to the first chunk, p50", "burst c=1", p50(first), 0.6+flush)
	added("stream c=1: added to the first chunk, p99", "burst c=1", p99(first), 0)
	plain("stream c=1: a chunk under way, p50", "burst c=1", "ms", p50(hold), 0.25)
	plain("stream c=1: a chunk under way, p99", "burst c=1", "ms", p99(hold), 1.5)
	plain("stream c=1: CPU a call", "burst c=1", "ms", spent, 0)
	for _, c := range []string{"whole c=1", "whole c=16", "whole c=64"} {
		both(func(sys string, aim float64) row { return f.throughput(c, sys, aim) }, 0)
	}
	both(func(sys string, aim float64) row { return f.throughput("whole c=256", sys, aim) }, 0.30)
	plain("whole c=256: CPU a call", "whole c=256", "ms", spent, 0)
	plain("whole c=256: failed calls", "whole c=256", "calls", failures, nought)
	pacedRate := f.throughput("paced c=256", "gateway", 0)
	pacedRate.what, pacedRate.unit = "256 paced streams: calls/s", "calls/s"
	rates := f.of("paced c=256 gateway", took.rate)
	pacedRate.min, pacedRate.median, pacedRate.aim = slices.Max(rates), middle(rates), 315
	rows = append(rows, pacedRate)
	plain("256 paced streams: a chunk under way, p50", "paced c=256", "ms", p50(hold), 1.2)
	plain("256 paced streams: a chunk under way, p99", "paced c=256", "ms", p99(hold), 20)
	plain("256 paced streams: CPU a stream of 40 chunks", "paced c=256", "ms", spent, 2)
	plain("256 paced streams: memory, its ledger's in it", "paced c=256", "MB", memory, 100)
	plain("256 paced streams: failed", "paced c=256", "calls", failures, nought)
	plain("256 KB prompt, first sight: CPU", "first sight", "ms", spent, 20)
	plain("256 KB prompt, first sight: CPU a MB", "first sight", "ms", func(t took) float64 { return spent(t) * 4 }, 0)
	plain("256 KB prompt, a turn more: CPU", "next turn", "ms", spent, 5)
	return rows
}
