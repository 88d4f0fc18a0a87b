package nearby

import (
	"bufio"
	"bytes"
	"os"
	"os/user"
	"strconv"
)

// trusted reports whether everybody who listens on a port is this user, root, or
// the account that Ollama's installer makes. Without a listener nobody is.
func trusted(port string) bool {
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return false
	}
	good := map[string]bool{"0": true, strconv.Itoa(os.Getuid()): true}
	if u, err := user.Lookup("ollama"); err == nil {
		good[u.Uid] = true
	}
	found := false
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		b, err := os.ReadFile(table)
		if err != nil {
			continue
		}
		for _, uid := range listeners(b, uint16(n)) {
			if !good[uid] {
				return false
			}
			found = true
		}
	}
	return found
}

// listeners returns the owners of the sockets of /proc/net/tcp that listen on a
// port (proc(5): local address, state 0A, uid).
func listeners(table []byte, port uint16) []string {
	var out []string
	for s := bufio.NewScanner(bytes.NewReader(table)); s.Scan(); {
		f := bytes.Fields(s.Bytes())
		if len(f) < 8 || string(f[3]) != "0A" {
			continue
		}
		_, local, ok := bytes.Cut(f[1], []byte(":"))
		if n, err := strconv.ParseUint(string(local), 16, 16); ok && err == nil && uint16(n) == port {
			out = append(out, string(f[7]))
		}
	}
	return out
}
