// Package execgate is the supervisor of a session's process tree: it receives
// the seccomp notifications of package seccomp, has every exec decided by the
// Judge, and holds the caller at its exec stop until what the kernel loaded is
// proven to be what was decided.
//
// It promises: no new image runs one instruction before its permit and its
// verification; whatever cannot be read, resolved, hashed, seized or compared is
// refused; cover is given only by proven lineage (a chain of live parents up to
// the decided process, or the very process's earlier covered exec); calls
// against the sandbox, connects to anywhere but loopback, and calls that would
// remove, rename or link a guarded name are refused and reported, each once,
// floods folded into counts. A rename over a guarded text is not let go either: the
// bytes that were read of its source go to Rewrite, which has them or refuses, and
// the caller is told that it is done. A call that names files costs one read of the
// caller's memory and one answer by the thread that received it, unless its last
// name is that of something guarded.
//
// It touches the listener, /proc of the tree, and ptrace of the one thread that
// waits. It must never write into the memory of a process of the tree, never hold one
// longer than its decision takes, or than its command runs elsewhere (package held
// says how that stands in for it), never decide by itself that an exec may run,
// and never start a program.
package execgate
