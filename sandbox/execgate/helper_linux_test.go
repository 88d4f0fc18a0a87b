//go:build amd64 || arm64

package execgate

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strconv"
	"syscall"
	"time"
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

// interpret is an interpreter that opens its program while its threads come
// and go, as those with a collector or a compiler of their own do.
func interpret(script string) int {
	done := make(chan bool)
	for range 2 {
		go func() {
			defer close(done)
			for range 50 {
				born := make(chan bool)
				go func() {
					runtime.LockOSThread() // the thread dies with its goroutine
					close(born)
				}()
				<-born
			}
		}()
		_, err := os.ReadFile(script)
		<-done
		if err != nil {
			return 1
		}
		done = make(chan bool)
	}
	return 0
}

func credential(uid uint32) *syscall.Credential { return &syscall.Credential{Uid: uid, Gid: uid} }

func init() {
	helpers["call"] = func(a []string) int {
		var v [7]uintptr
		for i, s := range a {
			n, err := strconv.ParseUint(s, 10, 64)
			if err != nil {
				panic(err)
			}
			v[i] = uintptr(n)
		}
		_, _, errno := syscall.RawSyscall6(v[0], v[1], v[2], v[3], v[4], v[5], v[6])
		return int(errno)
	}
	helpers["flood"] = func(a []string) int {
		for range atoi(a[0]) {
			_, _, _ = syscall.RawSyscall(syscall.SYS_CHROOT, 0, 0, 0)
		}
		return 0
	}
	helpers["connect"] = func(a []string) int {
		c, err := net.DialTimeout("tcp", a[0], 100*time.Millisecond)
		if err == nil {
			c.Close()
		}
		fmt.Println(err)
		return 0
	}
	helpers["udp"] = func(a []string) int { return sendUDP(a[0], false) }
	helpers["msg"] = func(a []string) int { return sendUDP(a[0], true) }
}

func sendUDP(to string, msg bool) int {
	ap := netip.MustParseAddrPort(to)
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_DGRAM, 0)
	if err != nil {
		return 1
	}
	sa := &syscall.SockaddrInet4{Port: int(ap.Port()), Addr: ap.Addr().As4()}
	if msg {
		err = syscall.Sendmsg(fd, []byte("x"), nil, sa, 0)
	} else {
		err = syscall.Sendto(fd, []byte("x"), 0, sa)
	}
	fmt.Println(err)
	return 0
}
