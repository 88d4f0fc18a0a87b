package book

import (
	"fmt"
	"slices"

	"github.com/countersign/countersign/ledger/segment"
)

// restored is a segment with what came back from a copy beside.
type restored struct {
	whole []byte // the segment as it is then
	at    int    // where in it stands
	b     []byte // what came back
	over  []byte // what stood there instead, and behind it; nil: nothing that says anything
}

// restore finds what follows the last good frame in a copy beside, up to a record: it
// had been made durable there, and a power cut or a failing disk has taken it here.
// The chain says whether it does follow. Nothing is written yet.
//
// What was not written yet is zero. If something else stands in the place, a power cut
// may have left it there; where the machine has run on, somebody has put it there, and
// then nothing is made good.
func (b *Book) restore(data []byte, upto uint64) (restored, error) {
	sc, err := segment.NewScan(data)
	if err != nil || b.o.Copied == nil {
		return restored{whole: data}, nil // what is wrong with it is said by who reads it
	}
	boot := toEnd(sc, upto)
	at, over := sc.Offset, slices.Clone(sc.Rest())
	if sc.Sealed {
		return restored{whole: data}, nil
	}
	back, err := b.o.Copied(sc.Header.Epoch, sc.Header.First, int64(at))
	if err != nil {
		return restored{}, fmt.Errorf("look for copies of segment %s: %w", segment.Name(sc.Header.Epoch, sc.Header.First), err)
	}
	sc.Feed(back)
	toEnd(sc, upto)
	back = back[:sc.Offset-at]
	if len(back) == 0 {
		return restored{whole: data}, nil
	}
	if !foreign(data[at:], back) {
		over = nil
	} else if boot != "" && boot == b.o.Boot {
		return restored{whole: data}, nil
	}
	rest := data[min(at+len(back), len(data)):]
	return restored{slices.Concat(data[:at], back, rest), at, back, over}, nil
}

// foreign reports whether bytes in the place of others are of anything else.
func foreign(have, want []byte) bool {
	for i := range min(len(have), len(want)) {
		if have[i] != 0 && have[i] != want[i] {
			return true
		}
	}
	return false
}

// toEnd scans to the last good frame, and not beyond a record. It returns the start of
// the machine that wrote the last record, if there is one.
func toEnd(sc *segment.Scan, upto uint64) (boot string) {
	for sc.Seq < upto {
		f, err := sc.Next()
		if err != nil {
			return boot
		}
		if leaf, _, err := segment.ParseLeaf(f.Data); err == nil && !f.Note {
			boot = leaf.Boot
		}
	}
	return boot
}
