//go:build !linux

package stage

import (
	"context"
	"errors"
	"time"

	countersign "github.com/countersign/countersign"
	"github.com/countersign/countersign/workspace/gitview"
	"github.com/countersign/countersign/workspace/tree"
)

// Staging is one session's layer; only Linux has it so far.
type Staging struct{}

var errLinux = &countersign.Error{Code: countersign.EPosture, Op: "stage", Err: errors.New("staging needs Linux"), Remedy: "use a Linux machine, or WSL 2"}

// New fails: there is no staging here.
func New(context.Context, Options) (*Staging, error) { return nil, errLinux }

// The methods below are never reached.

func (s *Staging) Mounts() []countersign.Mount                    { return nil }
func (s *Staging) Tripwires() []Trip                              { return nil }
func (s *Staging) Backend() string                                { return "" }
func (s *Staging) Git() *gitview.Session                          { return nil }
func (s *Staging) ReadOnly() []string                             { return nil }
func (s *Staging) Notes() []Note                                  { return nil }
func (s *Staging) Changes(context.Context) ([]tree.Change, error) { return nil, errLinux }
func (s *Staging) Hidden() int                                    { return 0 }
func (s *Staging) Conflicts() []string                            { return nil }
func (s *Staging) Watch(context.Context, func(Event)) error       { return errLinux }
func (s *Staging) BaseBytes(string) ([]byte, error)               { return nil, errLinux }
func (s *Staging) MarkApplied(...string) error                    { return errLinux }
func (s *Staging) Land([]tree.Landing) ([][]byte, error)          { return nil, errLinux }
func (s *Staging) Return([]tree.Landing) error                    { return errLinux }
func (s *Staging) Move([]tree.Place) error                        { return errLinux }
func (s *Staging) Mounted(string) error                           { return errLinux }
func (s *Staging) Rest()                                          {}
func (s *Staging) Close() error                                   { return nil }

// Layer is a session's layer as it lies on disk.
type Layer struct {
	SessionDir string
	Backend    string
	Used       time.Time
	Changes    int
	Live       bool
}

// Layers lists nothing.
func Layers(string, string) []Layer { return nil }

// Discard has nothing to discard.
func Discard(string) error { return errLinux }
