// Package profile knows the coding agents by name: how each is found, what points
// it at the session's gateway, where in the home it keeps its state, what it starts
// by itself, how it wraps the commands that its model asks for, and whether it can
// be governed at all. Each is one YAML file of agents/, which is part of the program;
// whoever has no file has that of default.yaml, the strict one.
//
// It promises: a file is decoded strictly, an unknown field is an error with line
// and column; equal inputs give equal answers; Digest names a profile by its bytes;
// a command that is let go is named word by word, and covers nothing that it starts;
// Unwrap returns a command only where the wrapper around it is, byte for byte, what
// the profile says, and what it returns is for the eye: it decides nothing.
//
// It is pure: it touches no file, clock, environment or network, starts nothing, and
// must never do so. A Profile is immutable.
package profile
