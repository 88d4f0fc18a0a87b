package session_test

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/countersign/countersign"
	"github.com/countersign/countersign/session"
)

func serve(t *testing.T) string {
	path := filepath.Join(t.TempDir(), "s", "control.sock")
	err := session.Serve(t.Context(), path, map[string]session.Handler{
		"stop": func(context.Context, json.RawMessage, []*os.File) (any, error) { return true, nil },
		"fail": func(context.Context, json.RawMessage, []*os.File) (any, error) {
			return nil, &countersign.Error{Code: countersign.EDenied, Op: "do", Thing: "it", Err: errors.New("no"), Remedy: "ask again"}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// A session of an older program cannot answer a newer one, but says so.
func TestANewerCallerIsToldWhatToDo(t *testing.T) {
	c, err := net.Dial("unix", serve(t))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	b, _ := json.Marshal(session.Call{V: session.ProtocolVersion + 1, Op: "fail"})
	c.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(b))), b...))
	if out, err := io.ReadAll(c); err != nil || !strings.Contains(string(out), "older countersign") || !strings.Contains(string(out), "countersign stop") {
		t.Errorf("%s, %v", out, err)
	}
}

// What it is told to do, it can: the stop is asked in the first version, whatever
// version the caller speaks.
func TestStopIsAskedInTheFirstVersion(t *testing.T) {
	path := filepath.Join(t.TempDir(), "old.sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	asked := make(chan session.Call, 1)
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		head := make([]byte, 4)
		io.ReadFull(c, head)
		b := make([]byte, binary.BigEndian.Uint32(head))
		io.ReadFull(c, b)
		var call session.Call
		json.Unmarshal(b, &call)
		asked <- call
		answer := []byte(`{"v":1,"ok":true}`)
		c.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(answer))), answer...))
	}()
	if err := session.Ask(t.Context(), path, "stop", "ann", nil); err != nil {
		t.Fatal(err)
	}
	if call := <-asked; call.V != 1 || call.Op != "stop" {
		t.Errorf("%+v", call)
	}
}

func TestAnErrorArrivesAsItWasSaid(t *testing.T) {
	err := session.Ask(t.Context(), serve(t), "fail", nil, nil)
	if err == nil || err.Error() != "do it: no" || countersign.CodeOf(err) != countersign.EDenied || countersign.RemedyOf(err) != "ask again" {
		t.Errorf("%v, %s, %s", err, countersign.CodeOf(err), countersign.RemedyOf(err))
	}
}
