//go:build !unix

package gitview

const nonblock = 0
