package policy

import (
	"embed"
	"errors"
	"fmt"
	"strconv"
	"strings"

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

//go:embed builtin.yaml presets/*.yaml schema.json
var embedded embed.FS

// presetNames are the presets, strictest first.
var presetNames = []string{"strict", "standard", "trusted-workspace"}

// BuiltIn returns the built-in layer: the deny-list with its exceptions, the
// high-risk paths, and no command, host or write allowed.
func BuiltIn() *Document {
	src, err := embedded.ReadFile("builtin.yaml")
	if err != nil {
		panic(err) // part of the program; a test reads it
	}
	d, err := Parse(LayerBuiltIn, "", src)
	if err != nil {
		panic(err)
	}
	return d
}

// PresetSource returns the text of a preset: strict, standard or
// trusted-workspace.
func PresetSource(name string) ([]byte, error) {
	for _, n := range presetNames {
		if n == name {
			return embedded.ReadFile("presets/" + name + ".yaml")
		}
	}
	return nil, &countersign.Error{
		Code: countersign.ENotFound, Op: "read preset", Thing: name,
		Remedy: "presets: " + strings.Join(presetNames, ", "), Err: errors.New("no such preset"),
	}
}

// Preset returns a preset as a document of the user's layer.
func Preset(name string) (*Document, error) {
	src, err := PresetSource(name)
	if err != nil {
		return nil, err
	}
	return Parse(LayerUser, "preset "+name, src)
}

// On is a document built on another preset than it names.
func (d *Document) On(preset string) (*Document, error) {
	if _, err := PresetSource(preset); err != nil {
		return nil, err
	}
	out := *d
	out.Preset, out.presetPos = preset, Pos{}
	return &out, nil
}

// Schema returns the published JSON Schema (draft 2020-12) of a policy file.
func Schema() []byte {
	src, err := embedded.ReadFile("schema.json")
	if err != nil {
		panic(err) // part of the program
	}
	return src
}
