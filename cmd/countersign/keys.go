package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/countersign/countersign"
	"github.com/countersign/countersign/cmd/countersign/base"
	"github.com/countersign/countersign/gateway"
	"github.com/countersign/countersign/gateway/keys"
	"github.com/spf13/cobra"
	"golang.org/x/term"
)

func (a *app) keysCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "keys",
		Short: "The company's model keys: set, list, remove",
		Long: `Keys stay outside the sandbox: an agent gets a token that is good at its own
session's gateway only.

A key is kept in the operating system's keychain. Where there is none, as on a
server, it goes to an age-encrypted file of the configuration directory, whose
identity lies in the state directory, so that a start needs no person: a copy of
the configuration gives no key away, but whoever can read both as this user can.`,
	}
	cmd.AddCommand(a.keysSetCmd(), a.keysListCmd(), &cobra.Command{
		Use: "remove PROVIDER", Short: "Forget a key", Args: exactly(1, "a provider's name"),
		RunE: func(cmd *cobra.Command, args []string) error { return a.KeyStore().Remove(cmd.Context(), args[0]) },
	})
	return cmd
}

func (a *app) keysSetCmd() *cobra.Command {
	var keyring, file bool
	cmd := &cobra.Command{
		Use: "set PROVIDER", Short: "Read a key from standard input and keep it", Args: exactly(1, "a provider's name"),
		Example: "  countersign keys set anthropic < key.txt",
		RunE: func(cmd *cobra.Command, args []string) error {
			if keyring && file {
				return base.Usage(errors.New("--keyring and --file are two places: give one"))
			}
			key, err := a.readKey(args[0])
			if err != nil {
				return err
			}
			var at keys.Where
			switch {
			case keyring:
				at = keys.InKeychain
			case file:
				at = keys.InFile
			}
			where, err := a.KeyStore().Set(cmd.Context(), args[0], key, at)
			if err == nil {
				a.Say("the key of %s is kept: %s", args[0], where)
				a.sayUnused(args[0])
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&keyring, "keyring", false, "keep it in the operating system's keychain, or fail")
	cmd.Flags().BoolVar(&file, "file", false, "keep it in an encrypted file, even where there is a keychain")
	return cmd
}

func (a *app) keysListCmd() *cobra.Command {
	long := false
	cmd := a.jsonFlag(&cobra.Command{
		Use: "list", Short: "List providers that have a key; never the keys", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			kept, err := a.KeyStore().List()
			if err != nil {
				return err
			}
			if a.JSON && long {
				return a.Data(append([]keys.Kept{}, kept...))
			}
			names := []string{}
			for _, k := range kept {
				names = append(names, k.Provider)
				switch {
				case a.JSON:
				case long:
					fmt.Fprintf(a.Out, "%-20s %s\n", k.Provider, k.Where)
				default:
					fmt.Fprintln(a.Out, k.Provider)
				}
			}
			if a.JSON {
				return a.Data(names)
			}
			return nil
		},
	})
	cmd.Flags().BoolVar(&long, "long", false, "say where each is kept")
	return cmd
}

// sayUnused says of a key that no provider has its name: a slip, or not yet there.
func (a *app) sayUnused(name string) {
	cfg, err := gateway.Load(a.GatewayFile())
	if err == nil && !slices.ContainsFunc(cfg.Providers, func(p gateway.Provider) bool { return p.Name == name }) {
		a.Say("no provider of this name is in %s, so nothing uses it yet", a.GatewayFile())
	}
}

// readKey takes a key from standard input, without echo on a terminal.
func (a *app) readKey(provider string) (string, error) {
	var key string
	if fd := int(a.In.Fd()); term.IsTerminal(fd) {
		fmt.Fprintf(a.Err, "key for %s (not shown): ", provider)
		b, err := term.ReadPassword(fd)
		fmt.Fprintln(a.Err)
		if err != nil {
			return "", err
		}
		key = string(b)
	} else {
		line, err := bufio.NewReader(io.LimitReader(a.In, 64<<10)).ReadString('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return "", err
		}
		key = line
	}
	key = strings.TrimSpace(key)
	if key == "" {
		return "", &countersign.Error{Code: countersign.EUsage, Op: "read key for", Thing: provider, Err: errors.New("it is empty"), Remedy: "give the key on standard input"}
	}
	return key, nil
}
