package selftest

import (
	"regexp"
	"slices"
	"testing"
)

func TestTable(t *testing.T) {
	rows := Table()
	if len(rows) < 100 {
		t.Errorf("%d rows, fewer than 100", len(rows))
	}
	seen := map[string]bool{}
	word, control := regexp.MustCompile(`^[a-z0-9]+([-_][a-z0-9]+)*$`), regexp.MustCompile(`^AC-\d\d$`)
	for _, r := range rows {
		if seen[r.Name] || !word.MatchString(r.Name) {
			t.Errorf("%q is no name, or there twice", r.Name)
		}
		seen[r.Name] = true
		if !control.MatchString(r.Control) || r.Invariant < 1 || r.Invariant > 10 || r.Tries == "" || r.Door == "" {
			t.Errorf("%s does not say what it is", r.Name)
		}
		if (r.Records == nil) == (r.Unrecorded == "") {
			t.Errorf("%s: either its records are compared, or it says why not", r.Name)
		}
		if !slices.IsSorted(r.Records) {
			t.Errorf("%s: records %q are not sorted", r.Name, r.Records)
		}
	}
}

func TestJudge(t *testing.T) {
	row, _ := Find("env-open")
	signal, _ := Find("init-signal")
	if got, why := (Evidence{Missing: []string{NeedSignals}}).judge(signal, Said{Made: true}, true, nil); got != NotProtected {
		t.Errorf("no Landlock: %s (%s)", got, why)
	}
	if got, why := (Evidence{Marker: "m4rk"}).judge(signal, Said{Made: true}, true, nil); got != Through {
		t.Errorf("a Landlock that was switched off: %s (%s)", got, why)
	}
	ring, _ := Find("io_uring_setup")
	for _, above := range []bool{false, true} {
		said := Said{Made: true, Errno: "EPERM", Error: "no"}
		if got, why := (Evidence{Marker: "m4rk", Above: above}).judge(ring, said, true, nil); (got == Unseen) != above || (got == Unexpected) == above {
			t.Errorf("a filter above %v: %s (%s)", above, got, why)
		}
	}
	e := Evidence{Marker: "m4rk", Tier: "A", Open: func(string) bool { return false }}
	masked, open := e, e
	masked.Tier, open.Open = "A-masked", func(string) bool { return true }
	once := []string{"file.denied read"}
	for _, c := range []struct {
		name    string
		said    Said
		tried   bool
		e       Evidence
		records []string
		want    State
	}{
		{"as it must be", Said{Made: true, Errno: "EACCES", Error: "no"}, true, e, once, Blocked},
		{"read", Said{Made: true, Out: []byte("x m4rk y")}, true, e, once, Through},
		{"read, and refused at the end", Said{Made: true, Out: []byte("m4rk"), Errno: "EACCES", Error: "no"}, true, e, once, Through},
		{"let go", Said{Made: true}, true, e, nil, Through},
		{"another answer", Said{Made: true, Errno: "ENOENT", Error: "no"}, true, e, once, Unexpected},
		{"no record", Said{Made: true, Errno: "EACCES", Error: "no"}, true, e, nil, Unexpected},
		{"two records", Said{Made: true, Errno: "EACCES", Error: "no"}, true, e, append(once, once...), Unexpected},
		{"no nodes", Said{Made: true, Errno: "EACCES", Error: "no"}, true, masked, nil, Unseen},
		{"no nodes, another answer", Said{Made: true, Errno: "ENOENT", Error: "no"}, true, masked, nil, Unexpected},
		{"open by policy", Said{Made: true, Out: []byte("m4rk")}, true, open, nil, NotProtected},
		{"never tried", Said{}, false, e, nil, Unmade},
		{"not made", Said{Error: "killed"}, true, e, nil, Unmade},
	} {
		if got, why := c.e.judge(row, c.said, c.tried, c.records); got != c.want {
			t.Errorf("%s: %s (%s), want %s", c.name, got, why, c.want)
		}
	}
}

// Every failure is told by its state, and no state that leaves something open passes
// as blocked.
func TestStates(t *testing.T) {
	for s, failed := range map[State]bool{Blocked: false, Unseen: false, NotProtected: false, NotApplicable: false, Through: true, Unexpected: true, Unmade: true} {
		if s.Failed() != failed {
			t.Errorf("%s", s)
		}
	}
}
