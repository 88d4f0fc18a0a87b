package gitkeys

import (
	"bytes"
	"fmt"
	"strings"
)

// Format writes settings as git reads them (git-config(1), "Syntax").
func Format(all []Setting) []byte {
	var b bytes.Buffer
	last := ""
	for _, s := range all {
		section, sub, name := s.Parts()
		head := "[" + section + "]"
		if sub != "" {
			head = fmt.Sprintf("[%s \"%s\"]", section, strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(sub))
		}
		if head != last {
			b.WriteString(head + "\n")
			last = head
		}
		v := strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`, "\t", `\t`, "\b", `\b`).Replace(s.Value)
		fmt.Fprintf(&b, "\t%s = \"%s\"\n", name, v)
	}
	return b.Bytes()
}
