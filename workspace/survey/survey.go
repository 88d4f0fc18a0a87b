// Package survey finds what a project's real tree holds, and which of it is
// denied.
//
// It promises:
//   - A path is denied by its name, by a directory above it, or because its inode
//     is one that was seen under a denied name, or below one (20,000 of these at
//     most), in the life of this process or of those that saved it: a hard link, or what was moved away to a
//     harmless name.
//   - A Sentry tells of what is denied and new on the event itself.
//   - What a symbolic link of a denied name leads to is denied too, where it lies
//     in the tree.
//   - Temporary files of an apply are no part of the tree.
//   - What cannot be read is named, not passed over.
//
// It only reads: names and stat(2), never a file's content. Git's word on what is
// ignored is asked for through gitview.
package survey
