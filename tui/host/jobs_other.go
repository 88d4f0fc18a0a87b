//go:build unix && !linux

package host

// Ctrl-Z goes to the agent like any key.
func (l *loop) ctrlZ(p []byte) []byte { return p }

func (l *loop) checkStopped() {}
