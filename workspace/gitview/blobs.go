package gitview

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// Blob is the content of a file of a commit, kept where the agent cannot reach.
type Blob struct {
	Size   int64
	SHA256 string // lower-case hex
	File   string // on the host
}

// Blobs returns those of the named blobs that the session has. Content of denied
// paths is not in reach. Each is copied once, for as long as the layer lives.
func (s *Session) Blobs(ctx context.Context, repo string, ids []string) (map[string]Blob, error) {
	r, err := s.at(repo)
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(s.opts.Dir, "blobs-"+r.name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	got, err := blobsIn(dir)
	if err != nil {
		return nil, err
	}
	var ask strings.Builder
	for _, id := range ids {
		if _, ok := got[id]; !ok && isID(id) {
			ask.WriteString(id + "\n")
		}
	}
	if ask.Len() == 0 {
		return got, nil
	}
	q, err := s.quarantine(ctx, r)
	if err != nil {
		return nil, err
	}
	defer q.close()
	c := q.call()
	rd, wr := io.Pipe()
	c.In, c.Out = strings.NewReader(ask.String()), wr
	done := make(chan error, 1)
	go func() {
		err := unpack(rd, dir)
		rd.CloseWithError(err)
		done <- err
	}()
	_, err = c.Run(ctx, "cat-file", "--batch", "--buffer")
	wr.CloseWithError(err)
	if err := errors.Join(err, <-done); err != nil {
		return nil, err
	}
	return blobsIn(dir)
}

// blobsIn lists what is kept: files named ID-SHA256.
func blobsIn(dir string) (map[string]Blob, error) {
	list, err := os.ReadDir(dir)
	got := make(map[string]Blob, len(list))
	for _, e := range list {
		id, sum, ok := strings.Cut(e.Name(), "-")
		info, ierr := e.Info()
		if ok && ierr == nil && isID(id) {
			got[id] = Blob{Size: info.Size(), SHA256: sum, File: filepath.Join(dir, e.Name())}
		}
	}
	return got, err
}

// unpack writes the blobs of a `git cat-file --batch` (git-cat-file(1), "Batch
// output") to files.
func unpack(from io.Reader, dir string) error {
	in := bufio.NewReader(from)
	for {
		line, err := in.ReadString('\n')
		if err == io.EOF && line == "" {
			return nil
		}
		if err != nil {
			return err
		}
		var id, kind string
		var size int64
		if _, err := fmt.Sscan(line, &id, &kind, &size); err != nil {
			continue // "ID missing"
		}
		if err := keepBlob(io.LimitReader(in, size), kind, id, dir); err != nil {
			return err
		}
		if _, err := in.Discard(1); err != nil {
			return err
		}
	}
}

func keepBlob(in io.Reader, kind, id, dir string) error {
	if kind != "blob" {
		_, err := io.Copy(io.Discard, in)
		return err
	}
	tmp, err := os.CreateTemp(dir, ".new-")
	if err != nil {
		return err
	}
	h := sha256.New()
	_, err = io.Copy(io.MultiWriter(tmp, h), in)
	if err = errors.Join(err, tmp.Close()); err == nil {
		err = os.Rename(tmp.Name(), filepath.Join(dir, id+"-"+hex.EncodeToString(h.Sum(nil))))
	}
	if err != nil {
		os.Remove(tmp.Name())
	}
	return err
}
