package ledger

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	countersign "github.com/countersign/countersign"
	"github.com/countersign/countersign/internal/filelock"
	"github.com/countersign/countersign/ledger/book"
	"github.com/countersign/countersign/ledger/segment"
	"github.com/countersign/countersign/ledger/spool"
)

// VerifyOptions are what the verifier is given from outside the ledger.
type VerifyOptions struct {
	Checkpoint []byte // a signed checkpoint kept elsewhere, which the ledger must contain
	Key        string // the verifier key, from elsewhere; empty takes the one in the directory
}

// Report is what a verification found.
type Report struct {
	Records    uint64   `json:"records"`
	Segments   int      `json:"segments"`
	Root       string   `json:"root"`                 // of the Merkle tree over all records, base64
	Key        string   `json:"key"`                  // verifier key that the signatures were checked with
	Checkpoint string   `json:"checkpoint,omitempty"` // the newest signed one: keep it elsewhere
	Bad        *Bad     `json:"bad,omitempty"`
	NotChecked []string `json:"not_checked"`
}

// Bad is the first thing that is wrong.
type Bad struct {
	Segment string `json:"segment"`
	Seq     uint64 `json:"seq"`    // the record at which it shows
	Offset  int    `json:"offset"` // in the segment, in bytes
	What    string `json:"what"`
}

// Verify proves a ledger's directory offline: every byte of every segment,
// every leaf and link, the tree, the signatures of each segment's last
// checkpoint and of the kept ones. It writes nothing. Its error has the code
// EVerify if something was changed; Report.NotChecked says what it cannot know.
func Verify(dir string, o VerifyOptions) (Report, error) {
	v := verifier{dir: dir, rep: Report{NotChecked: []string{}}, kept: map[uint64][]mark{}, open: map[string]span{}}
	if err := v.run(o); err != nil {
		var bad *Bad
		if !errors.As(err, &bad) {
			return v.rep, err
		}
		v.rep.Bad = bad
		thing := "the ledger" // what is missing is at no place
		if bad.Segment != "" {
			thing = fmt.Sprintf("%s record %d (byte %d)", bad.Segment, bad.Seq, bad.Offset)
		}
		return v.rep, &countersign.Error{
			Code: countersign.EVerify, Op: "verify", Thing: thing,
			Err: errors.New(bad.What), Remedy: "keep the directory as it is; compare with a copy or a checkpoint kept elsewhere",
		}
	}
	return v.rep, nil
}

// Error makes a Bad usable as the reason of a verification's end.
func (b *Bad) Error() string { return b.What }

// mark is a checkpoint that the tree must pass through.
type mark struct {
	segment.Checkpoint
	from string // where it was found
	raw  []byte
}

// span are the records from one on, to another.
type span struct {
	from, to uint64
	boot     string // the machine's start that wrote them, if it is known
}

type verifier struct {
	dir     string
	key     note.Verifier
	rep     Report
	kept    map[uint64][]mark
	largest uint64
	sealed  map[uint64]bool // sizes at which a kept checkpoint says that a segment was sealed
	state   segment.State   // at the end of the segment before
	open    map[string]span // of the segments that are not sealed: where payloads may be lost
	buf     *bytes.Buffer
	signed  uint64 // records under the newest good signature
}

func (v *verifier) run(o VerifyOptions) error {
	if _, err := os.Stat(filepath.Join(v.dir, "segments")); err != nil {
		return &countersign.Error{Code: countersign.ENotFound, Op: "verify", Thing: v.dir, Err: errors.New("it is no ledger: it has no readable directory segments"), Remedy: "name the ledger's directory"}
	}
	names, err := segmentNames(v.dir)
	if err != nil {
		return err
	}
	if err := v.openKey(o.Key); err != nil {
		return err
	}
	if err := v.marks(o.Checkpoint); err != nil {
		return err
	}
	for i, n := range names {
		if err := v.segment(n, i == len(names)-1); err != nil {
			return err
		}
	}
	if v.largest > v.rep.Records {
		m := v.kept[v.largest][0]
		return &Bad{Seq: v.rep.Records, What: fmt.Sprintf("%s has %d records, here are %d: the end is cut, or an old copy was put back", m.from, v.largest, v.rep.Records)}
	}
	v.limits(o)
	return nil
}

func (v *verifier) openKey(vkey string) error {
	if vkey == "" {
		b, err := os.ReadFile(filepath.Join(v.dir, filepath.FromSlash(book.VerifierFile)))
		if err != nil {
			return &countersign.Error{Code: countersign.EVerify, Op: "verify", Thing: book.VerifierFile, Err: err, Remedy: "give the verifier key"}
		}
		vkey = strings.TrimSpace(string(b))
	}
	key, err := note.NewVerifier(vkey)
	if err != nil {
		return &countersign.Error{Code: countersign.EVerify, Op: "verify", Thing: "verifier key", Err: err}
	}
	v.key, v.rep.Key = key, vkey
	return nil
}

// marks collects the checkpoints that the tree must pass through.
func (v *verifier) marks(outside []byte) error {
	v.sealed = map[uint64]bool{}
	es, err := os.ReadDir(filepath.Join(v.dir, "checkpoints"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	for i, e := range es {
		if strings.HasPrefix(e.Name(), ".") {
			continue // being written, or left by a crash
		}
		raw, err := os.ReadFile(filepath.Join(v.dir, "checkpoints", e.Name()))
		if err != nil {
			return err
		}
		c, err := v.mark(raw, "checkpoints/"+e.Name(), i == len(es)-1)
		if err != nil {
			return err
		}
		v.sealed[c.Size] = true
	}
	if outside != nil {
		_, err = v.mark(outside, "the kept checkpoint", true)
	}
	return err
}

// mark takes up one checkpoint; the signature of one that need not be checked
// is vouched for by the segment that holds it too.
func (v *verifier) mark(raw []byte, from string, check bool) (segment.Checkpoint, error) {
	c, err := segment.ParseCheckpoint(raw)
	if err == nil && check {
		_, err = note.Open(raw, note.VerifierList(v.key))
	}
	if err != nil {
		return c, &Bad{Segment: from, What: "the checkpoint is not good: " + err.Error()}
	}
	v.kept[c.Size] = append(v.kept[c.Size], mark{c, from, raw})
	v.largest = max(v.largest, c.Size)
	return c, nil
}

// segment verifies one file. The last one may be in use: what looks damaged
// there is looked at again while a ledger process holds the directory.
func (v *verifier) segment(name string, last bool) error {
	before, records := v.state, v.rep.Records
	for try := 0; ; try++ {
		err := v.once(name, last)
		var bad *Bad
		if err == nil || !last || try >= 20 || !errors.As(err, &bad) || !filelock.Held(filepath.Join(v.dir, "lock")) {
			return err
		}
		v.state, v.rep.Records = before, records
		v.rep.Segments--
		time.Sleep(5 * time.Millisecond)
	}
}

func (v *verifier) once(name string, last bool) error {
	v.rep.Segments++
	data, err := v.read(name)
	if err != nil {
		return err
	}
	sc, err := segment.NewScan(data)
	if err != nil {
		return &Bad{Segment: name, Seq: v.rep.Records + 1, What: "header: " + err.Error()}
	}
	if err := v.joint(name, sc.Header); err != nil {
		return err
	}
	if err := v.frames(name, sc); err != nil {
		return err
	}
	return v.end(name, sc, last)
}

// read reads a segment into a buffer that serves for all.
func (v *verifier) read(name string) ([]byte, error) {
	f, err := os.Open(filepath.Join(v.dir, "segments", name))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if v.buf == nil {
		v.buf = bytes.NewBuffer(nil)
	}
	v.buf.Reset()
	if fi, err := f.Stat(); err == nil && fi.Size() < 1<<30 { // one that is larger grows as it is read
		v.buf.Grow(int(fi.Size()) + bytes.MinRead)
	}
	_, err = v.buf.ReadFrom(f)
	return v.buf.Bytes(), err
}

// joint compares a segment's header with its name and with what came before.
func (v *verifier) joint(name string, h segment.Header) error {
	bad := func(what string) error { return &Bad{Segment: name, Seq: v.rep.Records + 1, What: what} }
	epoch, first, ok := segment.ParseName(name)
	s := v.state
	switch {
	case !ok || epoch != h.Epoch || first != h.First:
		return bad("the header is not that of a segment of this name")
	case h.First != s.Seq+1:
		return bad(fmt.Sprintf("it begins with record %d, the one before ends with %d: a segment is missing or cut", h.First, s.Seq))
	case h.Prev != s.Prev || !h.Tree.Equal(s.Tree):
		return bad("the header does not follow the segment before")
	case h.Epoch < s.Header.Epoch || h.Epoch == s.Header.Epoch && !s.Sealed:
		return bad("the epochs do not rise")
	}
	return v.passes(name, h.First-1, &h.Tree, 0)
}

// passes compares the tree with the kept checkpoints of its size.
func (v *verifier) passes(name string, seq uint64, tree *segment.Tree, offset int) error {
	for _, m := range v.kept[seq] {
		if m.Root != tree.Root() {
			return &Bad{Segment: name, Seq: seq, Offset: offset, What: fmt.Sprintf("the records up to here are not those of %s", m.from)}
		}
	}
	return nil
}

// copied reports whether the kept copy of a seal, if there is one, is the same.
func (v *verifier) copied(size uint64, seal []byte) bool {
	for _, m := range v.kept[size] {
		if strings.HasPrefix(m.from, "checkpoints/") && !bytes.Equal(m.raw, seal) {
			return false
		}
	}
	return true
}

// start looks at the first record of a segment: after a segment that was not
// sealed it must be the one that says so, and what was torn must still be there.
func (v *verifier) start(leaf []byte) error {
	var r struct {
		Type   string
		T      struct{ Boot string }
		Detail struct {
			tornPart
			Later []tornPart
		}
	}
	if err := json.Unmarshal(leaf, &r); err != nil {
		return err
	}
	if r.Type != "ledger.recovered" {
		if v.state.Seq > 0 && !v.state.Sealed {
			return errors.New("the segment before was not closed, and this record does not say that it was recovered")
		}
		return nil
	}
	for _, p := range append(r.Detail.Later, r.Detail.tornPart) {
		if err := v.lost(p, r.T.Boot); err != nil {
			return err
		}
		if p.Bytes == 0 {
			continue
		}
		torn, err := os.ReadFile(filepath.Join(v.dir, "torn", filepath.Base(p.Kept)))
		if err != nil || fmt.Sprintf("sha256:%x", sha256.Sum256(torn)) != p.SHA256 {
			return fmt.Errorf("%s, torn bytes that were set aside, is missing or changed", p.Kept)
		}
	}
	return nil
}

// tornPart is what a record of a recovery says of one segment's end.
type tornPart struct {
	Bytes   int `json:"torn_bytes"`
	SHA256  string
	Kept    string
	Segment string
	Lost    []uint64 `json:"lost_payloads"`
}

// lost checks what is said to be a power cut's work: nothing that had been flushed
// is, and nothing where the machine has not started anew since.
func (v *verifier) lost(p tornPart, boot string) error {
	may, ok := v.open[p.Segment]
	if len(p.Lost) > 0 && ok && boot != "" && may.boot == boot {
		return fmt.Errorf("it says that a power cut took the payloads of record %d, and the machine ran on", p.Lost[0])
	}
	for _, seq := range p.Lost {
		if !ok || seq < may.from || seq > may.to {
			return fmt.Errorf("it says that a crash took the payloads of record %d, which had been flushed before", seq)
		}
	}
	return nil
}

func (v *verifier) frames(name string, sc *segment.Scan) error {
	var last []byte
	var lastAt int
	begun, boot := false, ""
	before, newest := sc.Header.First-1, sc.Header.First-1 // the last two checkpoints
	for {
		at := sc.Offset
		f, err := sc.Next()
		if err != nil {
			if !errors.Is(err, segment.ErrEnd) {
				return &Bad{Segment: name, Seq: sc.Seq + 1, Offset: at, What: err.Error()}
			}
			break
		}
		if f.Note {
			last, lastAt = f.Data, at
			before, newest = newest, sc.Seq
			if f.Seal && !v.copied(sc.Seq, f.Data) {
				return &Bad{Segment: name, Seq: sc.Seq, Offset: at, What: fmt.Sprintf("checkpoints/%016d is not the checkpoint that ends the segment", sc.Seq)}
			}
			continue
		}
		if !begun {
			begun = true
			if leaf, _, err := segment.ParseLeaf(f.Data); err == nil {
				boot = leaf.Boot
			}
			if err := v.start(f.Data); err != nil {
				return &Bad{Segment: name, Seq: sc.Seq, Offset: at, What: err.Error()}
			}
		}
		if err := v.passes(name, sc.Seq, &sc.Tree, at); err != nil {
			return err
		}
	}
	if !sc.Sealed {
		v.open[name] = span{before + 1, sc.Seq, boot}
	}
	if last != nil {
		if _, err := note.Open(last, note.VerifierList(v.key)); err != nil {
			return &Bad{Segment: name, Seq: sc.Seq, Offset: lastAt, What: "the segment's last checkpoint: " + err.Error()}
		}
		v.rep.Checkpoint = string(last)
		c, _ := segment.ParseCheckpoint(last) // the scan has parsed it
		v.signed = c.Size
	}
	return nil
}

// end checks what stands behind the last frame.
func (v *verifier) end(name string, sc *segment.Scan, last bool) error {
	bad := func(what string) error {
		return &Bad{Segment: name, Seq: sc.Seq, Offset: sc.Offset, What: what}
	}
	sealed := v.sealed[sc.Seq] && sc.Seq >= sc.Header.First
	switch {
	case len(sc.Rest()) > 0:
		return bad("something stands after the last record")
	case sc.Tail() > 0 && (!last || sealed):
		return bad("bytes were added after the end of the segment")
	case sealed && !sc.Sealed:
		return bad("the segment was sealed and has lost its seal")
	case !last && sc.Sealed && !v.sealed[sc.Seq]:
		return bad(fmt.Sprintf("checkpoints/%016d, the copy of the checkpoint that ends the segment, is missing", sc.Seq))
	}
	v.state = sc.State
	v.rep.Records = sc.Seq
	root := sc.Tree.Root()
	v.rep.Root = tlog.Hash(root).String()
	return nil
}

// limits says what cannot be known from the directory alone.
func (v *verifier) limits(o VerifyOptions) {
	say := func(f string, a ...any) { v.rep.NotChecked = append(v.rep.NotChecked, fmt.Sprintf(f, a...)) }
	if n := v.rep.Records - v.signed; n > 0 {
		say("the last %d records are under no signed checkpoint yet", n)
	}
	if names, err := filepath.Glob(filepath.Join(v.dir, spool.Dir, "*")); err == nil && len(names) > 0 {
		say("what %d clients have left in spool/: it is taken in while they run, or at the next start", len(names))
	}
	if o.Checkpoint == nil {
		say("whether records were cut from the end, or an older copy of the whole directory put back: needs a checkpoint kept elsewhere (--checkpoint)")
	} else {
		say("whether records after the kept checkpoint (%d of %d) were cut or rewritten by whoever has the key", v.largest, v.rep.Records)
	}
	if o.Key == "" {
		say("whether the key is the one of the beginning: whoever owns the directory can sign a rewritten ledger with a key of his own; compare key %s with one kept elsewhere", v.rep.Key)
	} else {
		say("whether the holder of the key has rewritten what no kept checkpoint covers")
	}
	say("whether the time of a record is true: no time stamp from outside is kept")
	say("payloads in blobs/: their content is checked when one is opened")
	say("whether everything that happened was recorded: a ledger proves what it holds")
}
