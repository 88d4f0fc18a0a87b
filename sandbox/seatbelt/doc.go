// Package seatbelt writes a profile for macOS's sandbox (sandbox-exec(1), SBPL) that
// closes what a session of Countersign closes, as far as that sandbox can.
//
// It promises: nothing is allowed that the profile does not name; the last rule that
// matches decides, and no denied name is allowed again behind its rule, but in the
// system's own places; each deny carries "countersign SESSION RULE", by which it is
// found in the unified log; no path, rule or expression can end the string it stands
// in; what a profile cannot say safely is an error and no profile.
//
// It does not promise that a macOS takes it: the language has no documentation, and
// the profile was made on another system. And it is no gate: no exec is asked about,
// what runs is a list of programs; nothing is staged; the record is the system's log,
// which may lose lines.
//
// It is pure: it touches and starts nothing.
package seatbelt
