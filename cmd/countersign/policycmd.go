package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	countersign "github.com/countersign/countersign"
	"github.com/countersign/countersign/policy"
)

// organisationPolicy is where a company's own layer lies; a user cannot write it.
const organisationPolicy = "/etc/countersign/policy.yaml"

// loadPolicy reads every layer and compiles them. file, if not empty, takes the
// place of the user's layer. A layer that is there but cannot be read stops
// everything: nothing starts under half a policy.
func (a *app) loadPolicy(file, project string) (*policy.Policy, error) {
	docs := []*policy.Document{policy.BuiltIn()}
	user := filepath.Join(a.dirs.Config, "policy.yaml")
	if file != "" {
		user = file
	}
	layers := []struct {
		layer policy.Layer
		path  string
		must  bool
	}{
		{"organisation", organisationPolicy, false},
		{"user", user, file != ""},
		{"project", filepath.Join(project, ".countersign", "policy.yaml"), false},
	}
	for _, l := range layers {
		src, err := os.ReadFile(l.path)
		if errors.Is(err, fs.ErrNotExist) && !l.must {
			continue
		}
		if err != nil {
			return nil, &countersign.Error{Code: countersign.EInvalid, Op: "read policy", Thing: l.path, Err: errors.Unwrap(err), Remedy: "make the file readable or remove it: nothing starts without every layer"}
		}
		doc, err := policy.Parse(l.layer, l.path, src)
		if err != nil {
			return nil, err
		}
		docs = append(docs, doc)
	}
	p, err := policy.Compile(docs...)
	if err != nil {
		return nil, err
	}
	return p.At(project, a.getenv("HOME")), nil
}

func (a *app) policyCmd() *cobra.Command {
	var file string
	cmd := &cobra.Command{Use: "policy", Short: "Check the policy and ask it questions"}
	cmd.PersistentFlags().StringVar(&file, "policy", "", "`FILE` in place of the user's layer")
	cmd.AddCommand(a.policyCheck(&file), a.policyExplain(&file), &cobra.Command{
		Use: "show", Short: "Print a preset", Args: exactly(1, "a preset's name"),
		RunE: func(_ *cobra.Command, args []string) error {
			src, err := policy.PresetSource(args[0])
			if err == nil {
				_, err = a.out.Write(src)
			}
			return err
		},
	})
	return cmd
}

func (a *app) policyCheck(file *string) *cobra.Command {
	return &cobra.Command{
		Use:   "check [FILE]",
		Short: "Check every layer, and the examples of every rule",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) == 1 {
				*file = args[0]
			}
			p, err := a.loadPolicy(*file, a.projectRoot())
			if err != nil {
				return err
			}
			fmt.Fprintf(a.out, "ok %s\n", p.Bundle())
			return nil
		},
	}
}

func (a *app) policyExplain(file *string) *cobra.Command {
	var path, host string
	var port int
	cmd := a.jsonFlag(&cobra.Command{
		Use:   "explain [--path PATH | --host HOST [--port N] | -- COMMAND…]",
		Short: "Say what the policy answers, by which rule, and why",
		Example: `  countersign policy explain -- git push origin main
  countersign policy explain --path .env
  countersign policy explain --host pkg.example.com`,
		RunE: func(_ *cobra.Command, args []string) error {
			p, err := a.loadPolicy(*file, a.projectRoot())
			if err != nil {
				return err
			}
			var e policy.Explanation
			switch {
			case path != "":
				e = p.ExplainPath(a.relative(path))
			case host != "":
				e = p.ExplainHost(host, port)
			case len(args) > 0:
				e = p.ExplainExec(a.execFacts(args))
			default:
				return usage(errors.New("nothing to explain: give a command after --, or --path or --host"))
			}
			if a.json {
				return a.data(e)
			}
			fmt.Fprintln(a.out, plainLines(e.String()))
			return nil
		},
	})
	cmd.Flags().StringVar(&path, "path", "", "explain this `PATH`")
	cmd.Flags().StringVar(&host, "host", "", "explain a connection to this `HOST`")
	cmd.Flags().IntVar(&port, "port", 443, "with --host")
	return cmd
}
