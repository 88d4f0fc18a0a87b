// Package live is one session while it runs: it makes every concrete part of it
// (staging, sandbox, supervisor, gate, doors, terminal), wires them, and undoes
// them in reverse. It promises that nothing of a session starts before its start
// is on record, and that nothing of it runs after its end. It decides nothing.
package live
