package policy

import (
	"embed"
	"errors"
	"strings"

	countersign "github.com/countersign/countersign"
)

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

// Schema returns the published JSON Schema (draft 2020-12) of a policy file.
func Schema() []byte {
	src, err := embedded.ReadFile("schema.json")
	if err != nil {
		panic(err) // part of the program
	}
	return src
}
