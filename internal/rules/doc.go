// Package rules holds the tests that keep the house: which room may import
// which, what may be called where, how large a room may grow, that each says what
// it is, and that each dependency has its reason. It has no code and is imported
// by nobody.
package rules
