//go:build !linux

package view

// Main handles nothing: there is no view on this system.
func Main([]string) bool { return false }
