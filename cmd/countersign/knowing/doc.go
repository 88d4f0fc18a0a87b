// Package knowing teaches the gateway's scanner what of a session's secrets it must
// find by exact content: what denied files hold, and what is lent. It keeps no value.
// It reads the project's denied files, of plain files a bounded part, and nothing
// else.
package knowing
