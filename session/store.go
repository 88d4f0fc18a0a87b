// Package session puts one session together out of the interfaces it is handed
// (sandbox, doors, gate, staging), keeps what is known of sessions on disk, and
// offers each live one to other processes of the same user over a socket.
//
// It promises that a session that ended without saying so is found and said at
// the next start, that two processes never hold one session, and that nothing
// of a staging layer is removed unless a person names it. It may touch the
// session directories and the runtime directory; it never writes a project's
// file and never decides.
package session

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"time"

	countersign "github.com/countersign/countersign"
	"github.com/countersign/countersign/internal/atomicfile"
	"github.com/countersign/countersign/internal/filelock"
)

// Dirs are the directories of one user.
type Dirs struct {
	State   string // $XDG_STATE_HOME/countersign
	Config  string // $XDG_CONFIG_HOME/countersign
	Cache   string // $XDG_CACHE_HOME/countersign
	Runtime string // $XDG_RUNTIME_DIR/countersign, or State/run; below /tmp or /var/tmp where that is too long for a socket
}

// XDG finds the directories of the environment (XDG Base Directory
// Specification 0.8). A relative value is ignored, as it says.
func XDG(getenv func(string) string) (Dirs, error) {
	home := getenv("HOME")
	pick := func(name, fallback string) string {
		if v := getenv(name); filepath.IsAbs(v) {
			return filepath.Join(v, "countersign")
		}
		return filepath.Join(home, fallback, "countersign")
	}
	d := Dirs{
		State:  pick("XDG_STATE_HOME", ".local/state"),
		Config: pick("XDG_CONFIG_HOME", ".config"),
		Cache:  pick("XDG_CACHE_HOME", ".cache"),
	}
	if !filepath.IsAbs(d.State) {
		return d, &countersign.Error{Code: countersign.EUsage, Op: "find the state directory", Err: errors.New("neither HOME nor XDG_STATE_HOME is set"), Remedy: "set HOME"}
	}
	d.Runtime = filepath.Join(d.State, "run")
	if v := getenv("XDG_RUNTIME_DIR"); filepath.IsAbs(v) && writable(v) {
		d.Runtime = filepath.Join(v, "countersign")
	}
	d.Runtime = reachable(d.Runtime)
	return d, nil
}

// socketRoom is how long a runtime directory may be: sun_path has 108 bytes, the
// last a zero (unix(7)), and a few are kept back.
const socketRoom = 103 - len("/xxxxxxxx/control.sock")

// reachable stands a short directory of this user in for one whose sockets could
// not be named. One that is somebody else's, or open to others, is not taken.
func reachable(dir string) string {
	if len(dir) <= socketRoom {
		return dir
	}
	sum := sha256.Sum256([]byte(dir))
	for _, tmp := range shared {
		short := fmt.Sprintf("%scountersign-%d-%x", tmp, os.Getuid(), sum[:6])
		_, err := os.Lstat(short)
		if err == nil && private(short) || err != nil && writable(tmp) {
			return short
		}
	}
	return dir
}

// shared are where anybody may make a directory.
var shared = []string{"/tmp/", "/var/tmp/"}

// Make creates the directories, for their user only.
func (d Dirs) Make() error {
	for _, dir := range []string{d.State, filepath.Join(d.State, "sessions"), d.Config, d.Runtime} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return &countersign.Error{Code: countersign.EInvalid, Op: "create", Thing: dir, Err: err, Remedy: "make it writable for you, or point the XDG variables elsewhere"}
		}
	}
	if slices.Contains(shared, filepath.Dir(d.Runtime)+"/") && !private(d.Runtime) {
		return &countersign.Error{Code: countersign.EInvalid, Op: "use", Thing: d.Runtime, Err: errors.New("it is not yours alone"), Remedy: "point XDG_RUNTIME_DIR at a directory of yours with mode 0700"}
	}
	return nil
}

// Session returns the directory of a session's state.
func (d Dirs) Session(id string) string { return filepath.Join(d.State, "sessions", id) }

// Socket returns the path of a live session's control socket.
func (d Dirs) Socket(id string) string { return filepath.Join(d.Runtime, id, "control.sock") }

// Kept is a session as it lies on disk.
type Kept struct {
	V int `json:"v"`
	countersign.Session
	From    string `json:"from,omitempty"`  // the session whose staging layer it went on with, and has now
	Notes   []Note `json:"notes,omitempty"` // what staging could not do, or did otherwise
	Exit    *int   `json:"exit,omitempty"`
	EndedBy string `json:"ended_by,omitempty"` // agent, countersign, lost
}

// Note is a path of the project that is not the same in the session, and why.
type Note struct {
	Path string `json:"path"`
	Text string `json:"text"`
}

// Save writes session.json in one step.
func (d Dirs) Save(k Kept) error {
	k.V = 1
	b, err := json.MarshalIndent(k, "", "  ")
	if err != nil {
		return err
	}
	if err := atomicfile.Write(filepath.Join(d.Session(k.ID), "session.json"), append(b, '\n'), 0o600); err != nil {
		return fmt.Errorf("save session %s: %w", k.ID, err)
	}
	return nil
}

// Load reads a session by its id or an unambiguous prefix of it.
func (d Dirs) Load(id string) (Kept, error) {
	all, err := d.List()
	if err != nil {
		return Kept{}, err
	}
	var found []Kept
	for _, k := range all {
		if k.ID == id {
			return k, nil
		}
		if id != "" && strings.HasPrefix(k.ID, id) {
			found = append(found, k)
		}
	}
	if len(found) == 1 {
		return found[0], nil
	}
	why := "no such session"
	if len(found) > 1 {
		why = fmt.Sprintf("%d sessions begin so", len(found))
	}
	return Kept{}, &countersign.Error{Code: countersign.ENotFound, Op: "find session", Thing: id, Err: errors.New(why), Remedy: "`countersign sessions` lists them"}
}

// List returns every session on disk, newest first. What cannot be read is left
// out: a half-made directory is no session.
func (d Dirs) List() ([]Kept, error) {
	paths, err := filepath.Glob(filepath.Join(d.State, "sessions", "*", "session.json"))
	if err != nil {
		return nil, err
	}
	var out []Kept
	for _, p := range paths {
		b, err := os.ReadFile(p)
		if err != nil {
			continue
		}
		var k Kept
		if json.Unmarshal(b, &k) != nil || k.ID == "" {
			continue
		}
		if k.V > 1 {
			return nil, &countersign.Error{Code: countersign.EInvalid, Op: "read session", Thing: p, Err: fmt.Errorf("its format is version %d, newer than this program", k.V), Remedy: "use the newer countersign"}
		}
		out = append(out, k)
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Started.After(out[j].Started) })
	return out, nil
}

// Live reports whether a process holds the session: it has its lock.
func (d Dirs) Live(id string) bool {
	return filelock.Held(filepath.Join(d.Session(id), "lock"))
}

// Hold creates a session's directory and takes its lock, which lasts as long as
// the returned file is open.
func (d Dirs) Hold(id string) (*os.File, error) {
	dir := d.Session(id)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	f, err := filelock.Try(filepath.Join(dir, "lock"), filelock.Exclusive)
	if errors.Is(err, filelock.ErrBusy) {
		err = &countersign.Error{Code: countersign.EInvalid, Op: "hold session", Thing: id, Err: err}
	}
	return f, err
}

// Lost returns the sessions that neither ended nor are held by a process.
func (d Dirs) Lost() ([]Kept, error) {
	all, err := d.List()
	if err != nil {
		return nil, err
	}
	var out []Kept
	for _, k := range all {
		if k.EndedBy == "" && !d.Live(k.ID) {
			out = append(out, k)
		}
	}
	return out, nil
}

// Close marks a session as ended.
func (d Dirs) Close(k Kept, by string, exit *int, at time.Time) error {
	k.EndedBy, k.Exit, k.Ended = by, exit, at.UTC()
	return d.Save(k)
}

// DiskUse returns the bytes a session's directory takes, blocks not lengths.
func DiskUse(dir string) int64 {
	var n int64
	_ = filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err != nil {
			return nil
		}
		n += blocks(path)
		return nil
	})
	return n
}
