package policy

import (
	"fmt"
	"strconv"

	countersign "github.com/countersign/countersign"
	"github.com/countersign/countersign/internal/strictyaml"
)

func itoa(n int) string { return strconv.Itoa(n) }

func invalid(thing, remedy, format string, args ...any) error {
	return &countersign.Error{
		Code: countersign.EInvalid, Op: "read policy", Thing: thing,
		Remedy: remedy, Err: fmt.Errorf(format, args...),
	}
}

// reader reads one document.
type reader struct {
	strictyaml.Reader
	d *Document
}

// Parse reads one layer from YAML, strictly: an unknown field, a key given
// twice, a wrong type, an anchor, alias or tag is an error. name is what
// messages call the file. Every error is a *countersign.Error of code EInvalid
// whose Thing is "name:line:column".
func Parse(layer Layer, name string, src []byte) (*Document, error) {
	r := reader{d: &Document{Layer: layer, Name: name}}
	root, err := strictyaml.Parse(src)
	switch {
	case err != nil:
	case root == nil:
		err = &strictyaml.Fault{Pos: Pos{Line: 1, Column: 1}, Remedy: "begin with: version: 1", Msg: "no version"}
	default:
		r.document(root)
		err = r.Err
	}
	if err != nil {
		return nil, r.d.fault(err.Pos, err.Remedy, "%s", err.Msg)
	}
	return r.d, nil
}
