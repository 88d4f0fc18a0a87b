package review

import (
	"errors"
	"strings"
	"syscall"
	"testing"

	countersign "github.com/countersign/countersign"
	"github.com/countersign/countersign/workspace/tree"
)

func TestAFullDiskTakesNoDecision(t *testing.T) {
	mnt := t.TempDir()
	if err := syscall.Mount("tmpfs", mnt, "tmpfs", 0, "size=256k"); err != nil {
		t.Skipf("no mount here: %v", err)
	}
	t.Cleanup(func() { syscall.Unmount(mnt, syscall.MNT_DETACH) })
	r := open(t, mnt)
	c := []tree.Change{change("a", nil, file("small\n")), change("b", nil, file(strings.Repeat("large\n", 100_000)))}
	hs := update(t, r, c...)
	_, err := r.Accept(hs[0].ID, hs[1].ID)
	if !errors.Is(err, syscall.ENOSPC) || countersign.RemedyOf(err) == "" {
		t.Errorf("got %v (%s)", err, countersign.RemedyOf(err))
	}
	for _, h := range update(t, open(t, mnt), c...) {
		if h.State != countersign.Undecided {
			t.Errorf("%s is %s", h.Path, h.State)
		}
	}
}
