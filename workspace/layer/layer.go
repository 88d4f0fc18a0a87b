// Package layer reaches the files of a tree that somebody else may be changing at
// the same time: a session's staged tree, which its agent writes, and the real
// one, which a person edits.
//
// It promises:
//   - A path is resolved below the directory it is given for, never outside, and
//     through no symbolic link, wherever in it one stands (openat2,
//     RESOLVE_BENEATH and RESOLVE_NO_SYMLINKS); a watch is set through a
//     descriptor got that way.
//   - Nothing but a regular file is read as one.
//   - A copy carries the stamp that its source had before its first byte was
//     read, so that a write meanwhile is found later.
//
// It is mechanism alone: it knows no policy, no base and no git. It may touch
// what lies below the directories it is handed, and must never run a program.
package layer
