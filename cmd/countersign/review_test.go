package main

import (
	"fmt"
	"strings"
	"syscall"
	"testing"

	"github.com/countersign/countersign"
)

func TestARemedyForCausesThatComeUpAnywhere(t *testing.T) {
	for _, c := range []struct {
		err  error
		want string
	}{
		{fmt.Errorf("write x: %w", syscall.ENOSPC), "sessions discard"},
		{&countersign.Error{Op: "apply", Err: fmt.Errorf("open: %w", syscall.ENAMETOOLONG)}, "--reject"},
		{&countersign.Error{Op: "apply", Err: syscall.ENOSPC, Remedy: "its own"}, "its own"},
		{syscall.EIO, ""},
	} {
		if got := remedy(c.err); !strings.Contains(got, c.want) || c.want == "" && got != "" {
			t.Errorf("%v: %q", c.err, got)
		}
	}
}

func TestFurtherHunksBelongToTheFlagBeforeThem(t *testing.T) {
	session := func(s string) bool { return s == "SESSION" }
	for line, want := range map[string]string{
		"review --accept a b --reject c d --apply": "review --accept a --accept b --reject c --reject d --apply",
		"review SESSION --accept a b":              "review SESSION --accept a --accept b",
		"review --accept a SESSION":                "review --accept a SESSION",
		"review --accept=a b --list":               "review --accept=a --accept b --list",
		"review --accept-file x --accept a,b c":    "review --accept-file x --accept a,b --accept c",
		"-C dir review --reject a b":               "-C dir review --reject a --reject b",
		"--directory=x review --reject a b":        "--directory=x review --reject a --reject b",
		"review --accept a --list b":               "review --accept a --list b",
		"run -- git review --accept a b":           "run -- git review --accept a b",
		"-C review run -- x --accept a b":          "-C review run -- x --accept a b",
		"review":                                   "review",
		"":                                         "",
	} {
		if got := strings.Join(spread(strings.Fields(line), session), " "); got != want {
			t.Errorf("%s: %s, want %s", line, got, want)
		}
	}
}
