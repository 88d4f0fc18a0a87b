// Package policy says what an agent may do. It parses the layers (built-in,
// organisation, user, project), puts them together, and answers for a command,
// a path, a host or a model: deny, ask or allow, with the id of the rule, its
// reason and the line it stands on.
//
// It promises: deny beats ask beats allow whatever the order of rules and
// layers; a project's layer can only tighten; the user's cannot relax the
// organisation's; an unknown field, a failing example or a doubtful rule is an
// error with line and column, never a guess; equal inputs give equal answers,
// and Bundle names the policy by its content.
//
// It is pure: it touches no file, clock, environment or network, starts
// nothing, and must never do so. The embedded built-in rules are part of the
// program. A Policy is immutable and may be used by many goroutines at once.
package policy
