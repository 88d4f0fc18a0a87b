package procstat

import (
	"os"
	"strconv"
	"strings"
)

// Within finds this namespace's number of the process or thread that is number pid
// in the pid namespace of another process (pid_namespaces(7), NSpid of proc(5)).
func Within(of, pid int) (host int, ok bool) {
	ns, err := os.Readlink("/proc/" + strconv.Itoa(of) + "/ns/pid")
	if err != nil || pid <= 0 {
		return 0, false
	}
	all, err := os.ReadDir("/proc")
	if err != nil {
		return 0, false
	}
	for _, e := range all {
		if strings.Trim(e.Name(), "0123456789") != "" {
			continue
		}
		if its, err := os.Readlink("/proc/" + e.Name() + "/ns/pid"); err != nil || its != ns {
			continue
		}
		threads, _ := os.ReadDir("/proc/" + e.Name() + "/task") // it may end meanwhile
		for _, t := range threads {
			tid, _ := strconv.Atoi(t.Name())
			if in, err := StatusField(tid, "NSpid:"); err == nil && in == pid {
				return tid, true
			}
		}
	}
	return 0, false
}
