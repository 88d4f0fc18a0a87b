//go:build !cgo

package live

// withCgo says that this binary was built with cgo.
const withCgo = false
