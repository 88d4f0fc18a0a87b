package main

import (
	"fmt"
	"io"
	"sort"
	"text/tabwriter"
	"time"
)

// row is one figure against its yardstick, measured in turn in the same run.
type row struct {
	what, way    string
	bare, inside string // of the medians, with their units
	min, median  float64
	unit         string  // of min and median: "x" for a ratio
	aim          float64 // 0: none
	atLeast      bool    // the aim is a floor, not a ceiling
	note         string  // why it was not measured
}

// durations makes the row of one work against bare.
func durations(what, way string, bare, inside []time.Duration, aim float64) row {
	r := row{what: what, way: way, unit: "x", aim: aim}
	if len(bare) == 0 || len(inside) == 0 {
		r.note = "not measured"
		return r
	}
	r.bare, r.inside = short(median(bare)), short(median(inside))
	r.min = float64(minimum(inside)) / float64(minimum(bare))
	r.median = float64(median(inside)) / float64(median(bare))
	return r
}

// verdict judges the minima: what the machine's other load adds is no cost of
// the gate. With a floor, both figures are the same.
func (r row) verdict() string {
	switch {
	case r.aim == 0 || r.note != "":
		return "-"
	case r.atLeast && r.min >= r.aim, !r.atLeast && r.min <= r.aim:
		return "met"
	}
	return "missed"
}

// nought is an aim of nothing at all, as 0 says that there is none.
const nought = 1e-9

func (r row) figure(v float64) string {
	switch {
	case r.unit == "x":
		return fmt.Sprintf("%.2f", v)
	case r.unit == "MB/min" || r.unit == "ms" && r.aim < 100:
		return fmt.Sprintf("%.2f %s", v, r.unit)
	}
	return fmt.Sprintf("%.0f %s", v, r.unit)
}

func (r row) goal() string {
	switch {
	case r.aim == 0:
		return "-"
	case r.atLeast:
		return ">= " + r.figure(r.aim)
	}
	return "<= " + r.figure(r.aim)
}

// print writes the rows as one table.
func print(out io.Writer, rows []row) error {
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "what\tback end\tbare\tinside\tbest\tmedian\taim\t\t")
	for _, r := range rows {
		if r.note != "" {
			fmt.Fprintf(w, "%s\t%s\t\t\t%s\t\t%s\t\n", r.what, r.way, r.note, r.goal())
			continue
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t\n", r.what, r.way, r.bare, r.inside, r.figure(r.min), r.figure(r.median), r.goal(), r.verdict())
	}
	return w.Flush()
}

// short is a duration in three or four digits.
func short(d time.Duration) string {
	switch {
	case d >= 10*time.Second:
		return d.Round(100 * time.Millisecond).String()
	case d >= 10*time.Millisecond:
		return d.Round(time.Millisecond / 10).String()
	case d >= 10*time.Microsecond:
		return d.Round(time.Microsecond / 10).String()
	}
	return d.String()
}

func sorted(d []time.Duration) []time.Duration {
	s := append([]time.Duration(nil), d...)
	sort.Slice(s, func(i, j int) bool { return s[i] < s[j] })
	return s
}

func minimum(d []time.Duration) time.Duration { return sorted(d)[0] }

func median(d []time.Duration) time.Duration { return sorted(d)[len(d)/2] }
