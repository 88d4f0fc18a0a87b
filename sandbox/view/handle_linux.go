package view

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// handle carries out one request.
func (d *nsd) handle(m Message, files []*os.File, answer *Message) error {
	switch m.Op {
	case OpLay:
		return d.lay(d.plan.Tripwires, false, true)
	case OpTrip:
		return d.lay(m.Trips, false, false)
	case OpMask:
		return d.lay(tripsOf(m.Paths), true, false)
	case OpMount:
		if m.Mount == nil {
			return errors.New("no mount")
		}
		tree, dir, err := d.src.mount(*m.Mount)
		if err != nil {
			return err
		}
		return d.view.do(func() error { return d.b.attach(tree, m.Mount.Target, dir) })
	case OpReadOnly:
		for _, p := range m.Paths {
			if err := d.freeze(p); err != nil {
				return err
			}
		}
		return nil
	case OpPin:
		if len(m.Paths) != 1 || len(files) != 1 {
			return errors.New("a pin is one path and one file")
		}
		return d.pinOne(m.Paths[0], files[0], answer)
	case OpUnpin:
		return d.unpin(m.Pin)
	}
	return fmt.Errorf("unknown request %q", m.Op)
}

func tripsOf(paths []string) (trips []Trip) {
	for _, p := range paths {
		trips = append(trips, Trip{Path: p})
	}
	return trips
}

// find opens a path of the view without following a link.
func (b *builder) find(path string) (int, error) {
	fd, err := lookup(b.root, strings.TrimPrefix(canon(b.root, path), "/"))
	if err != nil {
		return -1, &os.PathError{Op: "open", Path: path, Err: err}
	}
	return fd, nil
}

// freeze makes what stands at a path read-only.
func (d *nsd) freeze(path string) error {
	return d.view.do(func() error {
		fd, err := d.b.find(path)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		tree, err := treeOf(fd, "", sealed)
		if err != nil {
			return err
		}
		return attach(tree, fd)
	})
}
