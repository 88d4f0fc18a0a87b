package lending

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/countersign/countersign"
	"github.com/countersign/countersign/internal/words"
	"github.com/countersign/countersign/policy"
	"github.com/countersign/countersign/policy/lends"
)

// Document is what `run --lend NAME=SOURCE … --lend-to COMMAND` says, as rules of
// the user's layer: every secret to every command that is named. Nil: nothing.
func Document(secrets, to []string) (*policy.Document, error) {
	if len(secrets) == 0 && len(to) == 0 {
		return nil, nil
	}
	if len(secrets) == 0 || len(to) == 0 {
		return nil, usage("--lend and --lend-to", errors.New("a secret is lent to a command: both are needed"))
	}
	var rules []map[string]any
	for _, s := range secrets {
		name, from, ok := strings.Cut(s, "=")
		if err := lends.CheckName(name); err != nil || !ok {
			return nil, usage("--lend", errors.Join(err, errors.New("it is not NAME=SOURCE"))) // nothing of what may be a value
		}
		if _, err := lends.ParseSource(from); err != nil {
			return nil, usage("--lend "+name, errors.New("it says no source: a value itself is never given here"))
		}
		for _, command := range to {
			argv, err := words.Split(command)
			if err != nil || len(argv) == 0 {
				return nil, usage("--lend-to", errors.Join(err, errors.New("it is no command")))
			}
			rules = append(rules, map[string]any{
				"id": fmt.Sprintf("lend-%d", len(rules)+1), "name": name, "from": from, "argv": argv, "reason": "said when the session was started",
			})
		}
	}
	src, err := json.Marshal(map[string]any{"version": 1, "lend": rules}) // which is YAML too
	if err != nil {
		return nil, err
	}
	return policy.Parse(policy.LayerUser, "--lend", src)
}

func usage(thing string, err error) error {
	return &countersign.Error{
		Code: countersign.EUsage, Op: "read", Thing: thing, Err: err,
		Remedy: "write it as --lend DATABASE_URL='cmd:pass show db' --lend-to 'npm run migrate'; sources are cmd:COMMAND, env:NAME, file:PATH, keyring:NAME",
	}
}
