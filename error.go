package countersign

import (
	"errors"
	"fmt"
)

// Code is the kind of an error. Append only: exit codes and HTTP statuses hang
// on it.
type Code string

// The kinds of error.
const (
	EInternal Code = "internal"
	EUsage    Code = "usage"
	EInvalid  Code = "invalid" // bad input: policy, configuration, project
	EDenied   Code = "denied"
	EAuth     Code = "auth"
	EPending  Code = "pending"
	EVerify   Code = "verify"
	EPartly   Code = "partly"
	EPosture  Code = "posture"
	ENotFound Code = "notfound"
	EClosed   Code = "closed" // the ledger or the gate is closed
)

// Error is an error that a person reads: what was tried, on what, and what
// mends it.
type Error struct {
	Code   Code
	Op     string // what was being done: "read policy"
	Thing  string // file:line:column, path, id
	Remedy string // what to type or change; may be empty
	Err    error
}

// Error returns "op thing: cause".
func (e *Error) Error() string {
	s := e.Op
	if e.Thing != "" {
		s += " " + e.Thing
	}
	if e.Err != nil {
		s += fmt.Sprintf(": %v", e.Err)
	}
	return s
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// CodeOf returns the first code found in the chain, EInternal for others, and
// "" for nil.
func CodeOf(err error) Code {
	if err == nil {
		return ""
	}
	var e *Error
	if errors.As(err, &e) && e.Code != "" {
		return e.Code
	}
	return EInternal
}

// RemedyOf returns the first remedy found in the chain.
func RemedyOf(err error) string {
	for err != nil {
		var e *Error
		if !errors.As(err, &e) {
			return ""
		}
		if e.Remedy != "" {
			return e.Remedy
		}
		err = e.Err
	}
	return ""
}
