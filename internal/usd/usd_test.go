package usd

import "testing"

func TestDecimals(t *testing.T) {
	for in, want := range map[string]string{
		"0": "0", "3": "3", "3.75": "3.75", "0.000000001": "0.000000001", "1000000000": "1000000000", "1.50": "1.5", "007": "7",
		"": "", ".5": "", "5.": "", "-1": "", "1e3": "", "0.0000000001": "", "1000000001": "", "1,5": "", "٣": "", "1.2.3": "",
	} {
		n, err := Parse(in)
		if got := n.String(); (err != nil) != (want == "") || err == nil && got != want {
			t.Errorf("%q: %s, %v", in, got, err)
		}
	}
	if Nano(-1_500_000_000).String() != "-1.5" {
		t.Error(Nano(-1_500_000_000))
	}
	for n, want := range map[Nano]string{0: "0.00", 1: "0.01", Dollar: "1.00", Dollar*12 + 340_000_000: "12.34", 990_000_001: "1.00"} {
		if got := n.Cents(); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
}
