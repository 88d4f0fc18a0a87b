package stage

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"time"

	countersign "github.com/countersign/countersign"
	"github.com/countersign/countersign/internal/filelock"
	"github.com/countersign/countersign/workspace/layer"
)

// Layer is a session's layer as it lies on disk.
type Layer struct {
	SessionDir string
	Backend    string
	Used       time.Time
	Changes    int // when its session ended; -1: it did not say
	Live       bool
}

// Layers lists the layers of a project that sessions have left or hold, the
// newest first.
func Layers(stateDir, root string) []Layer {
	all, _ := filepath.Glob(filepath.Join(stateDir, "sessions", "*", "layer"))
	var list []Layer
	for _, dir := range all {
		m, live, err := readMeta(dir)
		if err == nil && m.Project == root {
			list = append(list, Layer{filepath.Dir(dir), m.Backend, m.Used, m.Changes, live})
		}
	}
	sort.Slice(list, func(i, j int) bool { return list[i].Used.After(list[j].Used) })
	return list
}

// readMeta reads a layer's meta.json and tells whether a process holds it.
func readMeta(layer string) (m meta, live bool, err error) {
	b, err := os.ReadFile(filepath.Join(layer, "meta.json"))
	if err != nil {
		return m, false, err
	}
	if err := json.Unmarshal(b, &m); err != nil {
		return m, false, fmt.Errorf("%s/meta.json: %w", layer, err)
	}
	if m.V != 1 {
		return m, false, fmt.Errorf("%s: layer of version %d: made by a newer countersign", layer, m.V)
	}
	return m, filelock.Held(filepath.Join(layer, "lock")), nil
}

// lockLayer takes the layer's lock, which its holder's death gives back.
func lockLayer(layer string) (*os.File, error) {
	return filelock.Soon(filepath.Join(layer, "lock"), filelock.Exclusive)
}

// Discard removes a session's layer for good.
func Discard(sessionDir string) error {
	if _, live, err := readMeta(filepath.Join(sessionDir, "layer")); err == nil && live {
		return &countersign.Error{Code: countersign.EInvalid, Op: "discard the layer of", Thing: sessionDir, Err: errors.New("its session is still running"), Remedy: "countersign stop it first"}
	}
	return layer.Remove(filepath.Join(sessionDir, "layer"))
}
