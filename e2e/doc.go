// Package e2e tries the product as its users and its attackers do: the built
// binary, real processes, a real kernel, real git repositories. It has no code
// of its own beside its tests.
package e2e
