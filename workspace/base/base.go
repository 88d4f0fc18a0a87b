// Package base keeps what a session's staged tree started from, moved forward by
// what was carried in and applied since, and compares the two.
//
// It promises:
//   - Compare is the exact difference, whoever made it: what git ignores is
//     counted, and listed where it is denied or notable; nothing an agent does to
//     names, times or permissions hides a change.
//   - An index on disk is the old one or the whole new one; a torn one is refused.
//   - Bytes are what its digest says, or an error.
//   - Where git cannot tell what it ignores, a path is not ignored: it is shown.
//
// It may read the trees it is handed, write the store of base bytes and the
// permission of what it could not read otherwise, and put a file where the agent
// left the base. It never writes the real tree and decides nothing about a
// difference.
package base
