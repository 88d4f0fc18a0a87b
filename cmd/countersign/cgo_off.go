//go:build !cgo

package main

// withCgo says that this binary was built with cgo.
const withCgo = false
