package tripwire

import (
	"sort"
	"time"
)

// The flood rule. The first foldAfter events of one (node, executable, op) are
// passed on singly; what follows is counted and passed on once per foldEvery.
// A key that was quiet for foldQuiet begins anew. The number of keys is
// bounded, for an agent can make executables without end: beyond maxKeys the
// executable no longer tells keys apart.
const (
	foldAfter = 64
	foldEvery = time.Second
	foldQuiet = time.Minute
	maxKeys   = 4096
)

type foldKey struct {
	node uint64
	exe  string
	op   string
}

type foldState struct {
	seen    int
	last    time.Time
	pending *Event
}

// folder applies the flood rule. It is used by one goroutine.
type folder struct {
	emit func(Event)
	keys map[foldKey]*foldState
}

func newFolder(emit func(Event)) *folder {
	return &folder{emit: emit, keys: map[foldKey]*foldState{}}
}

func (f *folder) add(e Event) {
	k := foldKey{e.Node, e.Peer.Exe, e.Op}
	st := f.keys[k]
	if st == nil {
		if len(f.keys) >= maxKeys {
			k.exe = ""
			st = f.keys[k]
		}
		if st == nil {
			st = &foldState{}
			f.keys[k] = st
		}
	}
	if st.pending == nil && e.Time.Sub(st.last) > foldQuiet {
		st.seen = 0
	}
	st.seen++
	st.last = e.Time
	switch {
	case st.seen <= foldAfter:
		f.emit(e)
	case st.pending == nil:
		st.pending = &e
	default:
		st.pending.Count += e.Count
		st.pending.Last = e.Last
	}
}

// flush passes on the counts whose second is over at now, all of them if now
// is zero, and forgets quiet keys. The order is that of the first calls.
func (f *folder) flush(now time.Time) {
	var due []*Event
	for k, st := range f.keys {
		if p := st.pending; p != nil && (now.IsZero() || now.Sub(p.Time) >= foldEvery) {
			due = append(due, p)
			st.pending = nil
		}
		if st.pending == nil && !now.IsZero() && now.Sub(st.last) > foldQuiet {
			delete(f.keys, k)
		}
	}
	sort.Slice(due, func(i, j int) bool { return due[i].Time.Before(due[j].Time) })
	for _, e := range due {
		f.emit(*e)
	}
}
