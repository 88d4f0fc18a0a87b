package gitview

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path"

	"github.com/countersign/countersign/internal/gitkeys"
	"github.com/countersign/countersign/workspace/gitrun"
	"github.com/countersign/countersign/workspace/gittext"
)

// setConfig changes the configuration from outside, under the lock that keeps git
// inside away.
func (s *Session) setConfig(r *sessionRepo, a agentDir, content []byte) error {
	at := path.Join(r.inside, "config")
	if !s.Texts.Served() { // before there is a view
		if err := a.replace("config", content); err != nil {
			return err
		}
		return s.Texts.Put(at, content)
	}
	lock := path.Join(a.rel, "config.lock")
	f, err := a.root.OpenFile(lock, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	return errors.Join(f.Close(), s.Texts.Put(at, content), a.root.Remove(lock))
}

// layTexts puts a file under each text for the sandbox to lay it over.
func (s *Session) layTexts(ctx context.Context, r *sessionRepo) error {
	a, err := s.agent(r)
	if err != nil {
		return err
	}
	defer a.close()
	for _, name := range gittext.Names {
		at := path.Join(r.inside, name)
		content, err := s.Texts.Read(at)
		if errors.Is(err, fs.ErrNotExist) {
			if content, err = firstText(ctx, a, name); err == nil {
				err = s.Texts.Put(at, content)
			}
		}
		if err != nil {
			return err
		}
		if was, err := a.read(name); err == nil && bytes.Equal(was, content) {
			continue
		}
		if err := a.root.RemoveAll(path.Join(a.rel, name)); err != nil {
			return err
		}
		if err := a.root.WriteFile(path.Join(a.rel, name), content, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// firstText is what a text holds that is not kept yet: the configuration as build
// made it, or without what an earlier session's agent put there.
func firstText(ctx context.Context, a agentDir, name string) ([]byte, error) {
	switch name {
	case gittext.CommonDir:
		return []byte(gittext.Here), nil
	case "config":
		b, err := a.read(name)
		if err != nil {
			return nil, err
		}
		all, err := gitrun.ParseConfig(ctx, b)
		kept, _ := gitkeys.Clean(all)
		return gitkeys.Format(kept), err
	}
	return nil, nil
}
