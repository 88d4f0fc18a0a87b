package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/countersign/countersign"
	"github.com/countersign/countersign/gateway"
	"github.com/spf13/cobra"
	"golang.org/x/term"
)

func (a *app) keysCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "keys",
		Short: "The company's model keys: set, list, remove",
		Long:  "Keys stay outside the sandbox: an agent gets a token that is good at its own session's gateway only.",
	}
	keyring := false
	set := &cobra.Command{
		Use: "set PROVIDER", Short: "Read a key from standard input and keep it", Args: exactly(1, "a provider's name"),
		Example: "  countersign keys set anthropic < key.txt",
		RunE: func(_ *cobra.Command, args []string) error {
			key, err := a.readKey(args[0])
			if err != nil {
				return err
			}
			if keyring {
				return gateway.SetKeyring(args[0], key)
			}
			return gateway.SetKey(a.KeysDir(), args[0], key)
		},
	}
	set.Flags().BoolVar(&keyring, "keyring", false, "keep it in the operating system's keychain; the provider then says key: {keyring: NAME}")
	cmd.AddCommand(set, a.jsonFlag(&cobra.Command{
		Use: "list", Short: "List providers that have a key; never the keys", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			names, err := gateway.ListKeys(a.KeysDir())
			if err != nil || a.JSON {
				return errors.Join(err, a.Data(append([]string{}, names...)))
			}
			for _, n := range names {
				fmt.Fprintln(a.Out, n)
			}
			return nil
		},
	}), &cobra.Command{
		Use: "remove PROVIDER", Short: "Forget a key", Args: exactly(1, "a provider's name"),
		RunE: func(_ *cobra.Command, args []string) error { return gateway.RemoveKey(a.KeysDir(), args[0]) },
	})
	return cmd
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
