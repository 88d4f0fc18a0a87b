//go:build amd64 || arm64

package execgate

import (
	"fmt"
	"os"
	"syscall"
)

// runHelper is what runs inside: attacks, each a small program.
func runHelper(args []string) int {
	h, ok := helpers[args[0]]
	if !ok {
		fmt.Fprintln(os.Stderr, "no helper", args[0])
		return 98
	}
	return h(args[1:])
}

var helpers = map[string]func([]string) int{
	"spawn": func(a []string) int { // N ARGV…: fork, exec and wait N times
		for range atoi(a[0]) {
			pid, err := syscall.ForkExec(a[1], a[1:], &syscall.ProcAttr{Env: os.Environ(), Files: []uintptr{0, 1, 2}})
			if err != nil {
				fmt.Println("spawn:", err)
				return 1
			}
			var st syscall.WaitStatus
			if _, err := syscall.Wait4(pid, &st, 0, nil); err != nil || st != 0 {
				fmt.Println("spawned:", err, st)
				return 1
			}
		}
		return 0
	},
	"exec": func(a []string) int {
		err := syscall.Exec(a[0], a[1:], os.Environ())
		fmt.Println("exec:", err)
		return 1
	},
}
