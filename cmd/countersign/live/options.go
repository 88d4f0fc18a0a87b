package live

import (
	"os"

	"github.com/countersign/countersign"
	"github.com/countersign/countersign/policy"
	"github.com/countersign/countersign/tui/host"
)

// Options are the words of `countersign run`.
type Options struct {
	Agent    string
	Policy   string
	Preset   string // in place of the one that the user's layer names
	Approver string
	Backend  string
	From     string
	Fresh    bool
	Lend     *policy.Document // what the command line lends; may be nil
	Own      bool             // the person's own shell, not an agent
	// Selftest makes it the session of a self-test: it answers what would be asked,
	// and every record is a canary's.
	Selftest func(countersign.Request) bool
	Argv     []string
}

// RunGuard is the guard's process: its standard input is the terminal.
func RunGuard() int {
	if err := host.Guard(os.NewFile(3, "pipe"), os.Stdout, os.Stdin); err != nil {
		return 1
	}
	return 0
}
