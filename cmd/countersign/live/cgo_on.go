//go:build cgo

package live

// withCgo says that this binary was built with cgo: it is not static, and the
// sandbox's helpers, which change the credentials of all their threads at once,
// cannot work in it.
const withCgo = true
