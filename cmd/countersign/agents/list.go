package agents

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"github.com/countersign/countersign"
	"github.com/countersign/countersign/cmd/countersign/base"
	"github.com/countersign/countersign/internal/nearest"
	"github.com/countersign/countersign/profile"
)

// Line is one element of `agents --json`: a contract.
type Line struct {
	Name         string   `json:"name"`
	Title        string   `json:"title"`
	Governed     bool     `json:"governed"`
	Why          string   `json:"why,omitempty"` // it cannot be
	Path         string   `json:"path,omitempty"`
	Version      string   `json:"version,omitempty"`
	Tried        string   `json:"tried,omitempty"` // the version that its profile was tried with
	Keeps        []string `json:"keeps"`           // below its private home
	Home         string   `json:"home,omitempty"`  // its private home for this project, where there is one
	Housekeeping int      `json:"housekeeping"`    // how many commands of its own are let go without a card
	Sandbox      string   `json:"sandbox,omitempty"`
	Patience     string   `json:"patience,omitempty"`
	Profile      string   `json:"profile"` // digest of its file
}

// Here is this machine, as the command's user and project see it.
func Here(a *base.App) Machine {
	return Machine{Getenv: a.Getenv, Home: a.Getenv("HOME"), Avoid: a.ProjectRoot()}
}

func describe(a *base.App, p *profile.Profile) Line {
	l := Line{
		Name: p.Name, Title: p.Title, Governed: p.Ungoverned == "", Why: p.Ungoverned, Tried: p.Tried, Keeps: append([]string{}, p.Keeps...),
		Housekeeping: p.Housekeeping(), Sandbox: p.Sandbox, Patience: p.Patience, Profile: p.Digest,
	}
	if found, ok := Here(a).Find(p); ok {
		l.Path, l.Version = found.Path, found.Version
	}
	home := filepath.Join(homes(a), p.Name)
	if st, err := os.Stat(home); err == nil && st.IsDir() {
		l.Home = home
	}
	return l
}

func homes(a *base.App) string { return filepath.Join(a.ProjectState(a.ProjectRoot()), "homes") }

// List prints what is known of agents, and what of them is here.
func List(a *base.App) error {
	all, err := profile.Load()
	if err != nil {
		return err
	}
	lines := []Line{}
	for _, p := range all {
		lines = append(lines, describe(a, p))
	}
	if a.JSON {
		return a.Data(lines)
	}
	w := tabwriter.NewWriter(a.Out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "NAME\tGOVERNED\tVERSION\tHOUSEKEEPING\tKEEPS\tFOUND")
	for _, l := range lines {
		governed, version, found, keeps := "yes", l.Version, base.Plain(l.Path), strings.Join(l.Keeps, " ")
		if !l.Governed {
			governed, keeps = "no", "-"
		}
		if found == "" {
			found = "-"
		}
		if version == "" {
			version = "-"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%s\t%s\n", l.Name, governed, base.Plain(version), l.Housekeeping, keeps, found)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for _, l := range lines {
		if !l.Governed {
			fmt.Fprintf(a.Out, "%s cannot be governed: %s\n", l.Title, l.Why)
		}
	}
	return nil
}

// Known refuses a name that no profile has, and one of an agent that cannot be
// governed: on record it would stand as if it were.
func Known(name string) error {
	p, err := profile.For(name)
	if err == nil && p.Ungoverned != "" {
		return &countersign.Error{
			Code: countersign.EInvalid, Op: "run", Thing: "--agent " + base.Printable(name), Err: errors.New(p.Title + " cannot be governed: " + p.Ungoverned),
			Remedy: "`countersign agents` lists those that can",
		}
	}
	if err != nil || p.Name != profile.Default || name == profile.Default {
		return err
	}
	all, err := profile.Load()
	if err != nil {
		return err
	}
	var names []string
	for _, p := range all {
		if p.Ungoverned == "" {
			names = append(names, p.Name)
		}
	}
	e := &countersign.Error{
		Code: countersign.EUsage, Op: "read the command line", Thing: "--agent " + base.Printable(name), Err: errors.New("no agent is known by this name"),
		Remedy: "known are " + strings.Join(names, ", ") + "; without --agent any other program runs with the strict profile",
	}
	if near := nearest.Of(name, names); len(near) > 0 {
		e.Remedy = "the nearest: " + strings.Join(near, ", ") + "\n" + e.Remedy
	}
	return e
}

// Restart throws the private home of an agent in this project away, on record.
func Restart(ctx context.Context, a *base.App, name string, remove func(dir string) error) error {
	name = profile.NameOf(name)
	found, err := Reset(homes(a), name, remove)
	if err != nil {
		return err
	}
	if !found {
		return &countersign.Error{
			Code: countersign.ENotFound, Op: "reset the home of", Thing: name, Err: errors.New("it has none for this project"),
			Remedy: "`countersign agents --json` says whose homes there are; go to the project whose home is meant",
		}
	}
	err = a.Note(ctx, countersign.Record{
		Type: "agent.reset", Actor: a.Human(), Agent: &countersign.Agent{Name: name},
		Detail: map[string]any{"project": base.Printable(a.ProjectRoot())},
	})
	if err != nil {
		return err
	}
	fmt.Fprintf(a.Out, "reset %s: it starts anew in %s\n", name, base.Plain(a.ProjectRoot()))
	return nil
}
