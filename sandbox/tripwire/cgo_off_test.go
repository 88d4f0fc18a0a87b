//go:build !cgo

package tripwire

const withCgo = false
