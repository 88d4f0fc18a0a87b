package policy

import "testing"

func TestBuiltInCompiles(t *testing.T) {
	p, err := Compile(BuiltIn())
	if err != nil {
		t.Fatal(err)
	}
	if _, denied := p.Path("a/.ENV"); !denied {
		t.Error("a/.ENV is open")
	}
}
