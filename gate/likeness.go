package gate

import (
	"path"
	"slices"
	"time"

	countersign "github.com/countersign/countersign"
)

// approved is a command that a person said yes to, and when.
type approved struct {
	argv []string
	at   time.Time
}

// kinds are what a command is like, the nearest first: the same program with the
// same first argument, the same program.
func kinds(a countersign.Action) []string {
	if a.Exec == nil || len(a.Exec.Argv) == 0 {
		return nil
	}
	exe := path.Base(a.Exec.Exe.Path)
	if len(a.Exec.Argv) == 1 {
		return []string{exe}
	}
	return []string{exe + "\x00" + a.Exec.Argv[1], exe}
}

// approve keeps the command for those of its kind that will come.
func (d *Desk) approve(a countersign.Action) {
	for _, k := range kinds(a) {
		d.last[k] = approved{slices.Clone(a.Exec.Argv), d.now()}
	}
}

// likeness is the last approved command of the action's kind.
func (d *Desk) likeness(a countersign.Action) ([]string, time.Time) {
	for _, k := range kinds(a) {
		if l, ok := d.last[k]; ok {
			return l.argv, l.at
		}
	}
	return nil, time.Time{}
}
