package selftest

import (
	"slices"
	"strings"
)

// The doors that rows try.
const (
	Files     = "files"
	Git       = "git"
	Commands  = "commands"
	Processes = "processes"
	Kernel    = "kernel"
	Network   = "network"
	Model     = "model"
	Controls  = "controls"
)

// What a row may need of the machine to say anything.
const (
	NeedGit   = "git"   // a git that made the canary repository
	NeedAMD64 = "amd64" // calls that only x86-64 has
	NeedProxy = "proxy" // a policy with allowed hosts
	NeedModel = "door"  // the session's gateway
	// NeedSignals is a Landlock that keeps signals in (Linux 6.12).
	NeedSignals = "landlock"
)

// Row is one attack.
type Row struct {
	Name      string   // unique: letters, digits, dashes
	Door      string   // files, git, commands …
	Control   string   // of the product's controls, AC-01 …
	Invariant int      // of the design, 1 to 10
	Tries     string   // what it attempts, for a person
	Try       string   // the attempt
	Args      []string // its arguments; {name} stands for what the Ground has
	// Errno lists the answers that are a refusal; empty: any error is.
	Errno []string
	// Records lists what must be on record, exactly, as "type op", "net.denied HOST"
	// or "exec.decided VERDICT", sorted.
	Records []string
	// Unrecorded says why the records of a row are not compared; then Records is nil.
	Unrecorded string
	Denied     string   // path that the policy must deny for the row to hold, as policy names it
	Needs      string   // of the machine
	Runs       []string // a command that the row needs, and that is approved for it, exactly
	Real       string   // file of the real tree, below the project, that must stay as it was
	// Bare says why the attempt is not made without controls, or cannot succeed there.
	Bare string
}

// Table is every row, in the order in which they run.
func Table() []Row {
	return slices.Concat(fileRows(), homeRows(), gitRows(), commandRows(), processRows(), mountRows(), kernelRows(), socketRows(), networkRows(), modelRows(), controlRows())
}

// Find returns the row of that name.
func Find(name string) (Row, bool) {
	all := Table()
	i := slices.IndexFunc(all, func(r Row) bool { return r.Name == name })
	if i < 0 {
		return Row{}, false
	}
	return all[i], true
}

// Approved returns the commands that rows need, argv joined by zero bytes.
func Approved() map[string]bool {
	out := map[string]bool{}
	for _, r := range Table() {
		if len(r.Runs) > 0 {
			out[strings.Join(r.Runs, "\x00")] = true
		}
	}
	return out
}

// seenByNodes reports whether a record can only come from a tripwire's node, which
// a machine without /dev/fuse does not have. Names are guarded there too.
func seenByNodes(record string) bool {
	op, ok := strings.CutPrefix(record, "file.denied ")
	return ok && !slices.Contains([]string{"unlink", "rename", "link"}, op)
}
