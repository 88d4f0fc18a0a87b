package main

import (
	"errors"
	"strings"

	"github.com/countersign/countersign"
	"github.com/countersign/countersign/cmd/countersign/agents"
	"github.com/countersign/countersign/cmd/countersign/base"
	"github.com/countersign/countersign/profile"
	"github.com/spf13/cobra"
)

const agentsHelp = `List the agents that Countersign knows by name, what of them is on this machine, and
whether they can be governed. Nothing of them is run for it: a version is what the
package says that the program lies in.

"countersign run NAME" starts one with its profile: its settings, a private home of
its own for this project, and its own looks at the repository without a card each.
A program that is not listed runs too, with the strict profile.`

func (a *app) agentsCmd() *cobra.Command {
	cmd := a.jsonFlag(&cobra.Command{
		Use: "agents", Short: "List the agents that are known by name, and what is found of them here", Long: agentsHelp, Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return agents.List(a.App) },
	})
	cmd.AddCommand(&cobra.Command{
		Use: "reset NAME", Short: "Throw an agent's private home for this project away: it starts anew", Args: exactly(1, "an agent's name"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return agents.Restart(cmd.Context(), a.App, args[0], removeTree)
		},
	})
	return cmd
}

// program finds what is to be run: along PATH, or where an agent known by this name
// is installed.
func (a *app) program(word string, look func(string) (string, error)) (string, error) {
	p, err := profile.For(word)
	if err != nil {
		return "", err
	}
	if p.Ungoverned != "" {
		return "", &countersign.Error{
			Code: countersign.EInvalid, Op: "run", Thing: word, Err: errors.New(p.Title + " cannot be governed: " + p.Ungoverned),
			Remedy: "`countersign agents` lists those that can",
		}
	}
	path, err := look(word)
	if err != nil && !strings.Contains(word, "/") {
		if found, ok := agents.Here(a.App).Find(p); ok {
			a.Say("%s is started from %s", p.Title, base.Plain(found.Path))
			return found.Path, nil
		}
	}
	return path, err
}
