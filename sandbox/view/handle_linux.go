package view

import (
	"errors"
	"fmt"
	"os"
	"strings"
)

// handle carries out one request.
func (d *nsd) handle(m Message, files []*os.File, answer *Message) error {
	switch m.Op {
	case OpLay:
		if len(files) != 1 {
			return errors.New("a project is one file")
		}
		return d.project(files[0])
	case OpTrip:
		return d.lay(m.Trips, false)
	case OpPin:
		if len(m.Paths) != 1 || len(files) != 1 {
			return errors.New("a pin is one path and one file")
		}
		return d.pinOne(m.Paths[0], files[0], answer)
	case OpText:
		if len(m.Paths) != 1 || len(files) != 1 {
			return errors.New("a text is one path and one file")
		}
		return d.textOne(m.Paths[0], files[0], m.Trips)
	case OpUnpin:
		return d.unpin(m.Pin)
	}
	return fmt.Errorf("unknown request %q", m.Op)
}

// find opens a path of the view without following a link.
func (b *builder) find(path string) (int, error) {
	fd, err := lookup(b.root, strings.TrimPrefix(canon(b.root, path), "/"))
	if err != nil {
		return -1, &os.PathError{Op: "open", Path: path, Err: err}
	}
	return fd, nil
}
