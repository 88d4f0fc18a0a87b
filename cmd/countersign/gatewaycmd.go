package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/countersign/countersign"
	"github.com/countersign/countersign/cmd/countersign/base"
	"github.com/countersign/countersign/cmd/countersign/serving"
	"github.com/countersign/countersign/gateway/tokens"
	"github.com/countersign/countersign/internal/slack"
	"github.com/spf13/cobra"
)

const gatewayHelp = `Serve the model door to agents outside of sessions, on the loopback or, with TLS,
to a team: the same gateway that a session has inside. It holds the company's
keys, allows models by policy, and records every call before it leaves.

Each agent has a token of its own, in place of its key, wherever it puts one.
The address of Anthropic's wire is the URL that is printed; of OpenAI's, URL/v1.
It serves until SIGTERM; open answers come to their end first.`

func (a *app) gatewayCmd() *cobra.Command {
	o := serving.Options{}
	cmd := a.jsonFlag(&cobra.Command{
		Use: "gateway", Short: "Serve the model door to agents outside of sessions", Long: gatewayHelp, Args: cobra.NoArgs,
		Example: `  countersign gateway token --name laptop-claude
  countersign gateway --listen 127.0.0.1:4141
  countersign gateway --listen 0.0.0.0:8443 --tls-cert cert.pem --tls-key key.pem`,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.serveGateway(cmd.Context(), o) },
	})
	f := cmd.Flags()
	f.StringVar(&o.Listen, "listen", "127.0.0.1:4141", "`ADDRESS` to serve on; port 0 takes a free one")
	f.StringVar(&o.Policy, "policy", "", "`FILE` in place of the user's layer")
	f.StringVar(&o.Cert, "tls-cert", "", "certificate chain, a PEM `FILE`, read again when it changes")
	f.StringVar(&o.Key, "tls-key", "", "its key, a PEM `FILE`")
	f.DurationVar(&o.Drain, "drain", 30*time.Second, "how `LONG` open answers may take after SIGTERM")
	cmd.AddCommand(a.tokenCmd())
	return cmd
}

func (a *app) serveGateway(ctx context.Context, o serving.Options) error {
	slack.Ensure(slack.Usual)
	err := serving.Run(ctx, a.App, o, func(url string) {
		if !a.JSON {
			fmt.Fprintln(a.Out, url)
			return
		}
		line, _ := json.Marshal(map[string]string{"url": url}) // a string always marshals
		fmt.Fprintln(a.Out, string(line))
	})
	if err == nil && ctx.Err() != nil {
		return base.ExitCode(0) // it was told to end, and did
	}
	return err
}

func (a *app) tokenCmd() *cobra.Command {
	var t tokens.Token
	var expires time.Duration
	cmd := &cobra.Command{
		Use: "token --name NAME", Short: "Print a token that is good at the standing gateway", Args: cobra.NoArgs,
		Long: "Print a token that is good at this user's standing gateway. It is printed once and kept as a hash.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if expires < 0 {
				return base.Usage(errors.New("--expires is a time to come"))
			}
			if expires > 0 {
				t.Expires = a.Now().Add(expires).UTC().Truncate(time.Second)
			}
			return a.issueToken(cmd.Context(), t)
		},
	}
	f := cmd.Flags()
	f.StringVar(&t.Name, "name", "", "`NAME` of the agent that gets it, for the record")
	f.StringVar(&t.User, "user", base.Who(), "`PERSON` its calls are counted to")
	f.StringVar(&t.Project, "project", "", "`PROJECT` its calls are counted to")
	f.DurationVar(&expires, "expires", 0, "how `LONG` it is good (default: until it is revoked)")
	cmd.AddCommand(a.jsonFlag(&cobra.Command{
		Use: "list", Short: "List tokens; never the tokens themselves", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return a.listTokens() },
	}), &cobra.Command{
		Use: "revoke NAME", Short: "End a token, at once", Args: exactly(1, "a token's name"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := serving.Store(a.App).Revoke(cmd.Context(), args[0]); err != nil {
				return err
			}
			return a.noteToken(cmd.Context(), "gateway.token_revoked", tokens.Token{Name: args[0]})
		},
	})
	return cmd
}

func (a *app) issueToken(ctx context.Context, t tokens.Token) error {
	if t.Name == "" {
		return base.Usage(errors.New("--name NAME says whose token it is"))
	}
	store := serving.Store(a.App)
	token, err := store.Issue(ctx, t, rand.Reader)
	if err != nil {
		return err
	}
	if err := a.noteToken(ctx, "gateway.token_issued", t); err != nil {
		return errors.Join(err, store.Revoke(ctx, t.Name)) // unrecorded, it is no token
	}
	fmt.Fprintln(a.Out, token)
	return nil
}

func (a *app) noteToken(ctx context.Context, typ string, t tokens.Token) error {
	detail := map[string]any{"name": t.Name}
	for name, v := range map[string]string{"user": t.User, "project": t.Project} {
		if v != "" {
			detail[name] = v
		}
	}
	if !t.Expires.IsZero() {
		detail["expires"] = t.Expires.Format(time.RFC3339)
	}
	return a.Note(ctx, countersign.Record{Type: typ, Actor: a.Human(), Detail: detail})
}

func (a *app) listTokens() error {
	all, err := serving.Store(a.App).List()
	if err != nil || a.JSON {
		return errors.Join(err, a.Data(append([]tokens.Token{}, all...)))
	}
	w := tabwriter.NewWriter(a.Out, 0, 4, 2, ' ', 0)
	for _, t := range all {
		until := "until revoked"
		if !t.Expires.IsZero() {
			until = "until " + t.Expires.Local().Format(time.DateTime)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", t.Name, t.User, t.Project, t.Created.Local().Format(time.DateTime), until)
	}
	return w.Flush()
}
