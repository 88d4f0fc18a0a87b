package count

import "testing"

func TestOf(t *testing.T) {
	for n, want := range map[int]string{
		0: "0 files", 1: "1 file", 2: "2 files", 999: "999 files", 1000: "1,000 files", 1234567: "1,234,567 files", -1: "-1 files", -100: "-100 files", -1000: "-1,000 files",
	} {
		if got := Of(n, "file"); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
