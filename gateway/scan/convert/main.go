// Command convert turns the configuration of gitleaks (config/gitleaks.toml of
// github.com/zricethezav/gitleaks/v8, MIT) into rules.json of package scan:
//
//	go run ./gateway/scan/convert VERSION gitleaks.toml >gateway/scan/rules.json
//
// It reads only as much of TOML as that generated file uses, and an unknown field
// is an error, so that nothing a rule says is lost in silence. Rules of files'
// names alone are left out, and so are allowances for paths: what stands in a
// prompt has none.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
)

func main() {
	if err := convertFile(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "convert:", err)
		os.Exit(1)
	}
}

func convertFile(args []string) error {
	if len(args) != 2 {
		return fmt.Errorf("usage: convert VERSION gitleaks.toml")
	}
	src, err := os.ReadFile(args[1])
	if err != nil {
		return err
	}
	tables, err := parse(string(src))
	if err != nil {
		return err
	}
	set, err := convert(tables)
	if err != nil {
		return err
	}
	w := bufio.NewWriter(os.Stdout)
	if err := write(w, args[0], set); err != nil {
		return err
	}
	return w.Flush()
}

// write puts one rule on a line, so that a new version is a readable difference.
func write(w *bufio.Writer, version string, s *set) error {
	line := func(before string, v any) error {
		if _, err := w.WriteString(before); err != nil {
			return err
		}
		e := json.NewEncoder(w)
		e.SetEscapeHTML(false)
		return e.Encode(v)
	}
	if err := line(`{"source": "github.com/zricethezav/gitleaks/v8", "licence": "MIT", "version": `, version); err != nil {
		return err
	}
	if err := line(`,"allow": `, s.allow); err != nil {
		return err
	}
	before := `,"rules": [`
	for _, r := range s.rules {
		if err := line(before, r); err != nil {
			return err
		}
		before = ","
	}
	_, err := w.WriteString("]}\n")
	return err
}
