package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"time"
)

// tried is what a scripted agent has done, by kind, and what went wrong for it.
type tried map[string]int

// busyAgent does an agent's work for so many seconds, in the session's tree: looks,
// edits, commits, commands that are asked about, files and hosts that are denied,
// calls of a model, children that outlive what started them. What fails is counted;
// nothing ends it. It leaves its count behind.
func busyAgent(seconds, report string) error {
	s, err := strconv.Atoi(seconds)
	if err != nil {
		return err
	}
	t := tried{}
	for n, end := 0, time.Now().Add(time.Duration(s)*time.Second); time.Now().Before(end); n++ {
		for _, step := range steps {
			t[step.kind]++
			if step.do(n) != nil {
				t[step.kind+" refused"]++
			}
		}
		b, err := json.Marshal(t)
		if err != nil {
			return err
		}
		if err := os.WriteFile(report, b, 0o644); err != nil {
			return err
		}
	}
	return nil
}

type agentStep struct {
	kind string
	do   func(n int) error
}

var steps = []agentStep{
	{"git", command("git", "status", "--short")},
	{"look", command("ls", "-l", ".")},
	{"edit", func(n int) error {
		return os.WriteFile(fmt.Sprintf("work-%d.txt", n%40), bytes.Repeat([]byte(fmt.Sprintln("line", n)), 50), 0o644)
	}},
	{"edit", func(n int) error { return os.Remove(fmt.Sprintf("work-%d.txt", (n+20)%40)) }},
	{"asked", func(n int) error { return command("touch", fmt.Sprintf("asked-%d", n%1000))(n) }},
	{"denied command", command("rm", "-rf", "/")},
	{"denied file", func(int) error { _, err := os.ReadFile(".env"); return err }},
	{"covered", command("sh", "soak-step.sh")},
	{"denied host", func(int) error {
		c, err := net.DialTimeout("tcp", "192.0.2.1:80", time.Second)
		if err == nil {
			c.Close()
		}
		return err
	}},
	{"child", func(int) error {
		child := exec.Command("sleep", "3")
		err := child.Start()
		if err == nil {
			go func() { _ = child.Wait() }()
		}
		return err
	}},
	{"commit", func(n int) error {
		if n%20 > 0 {
			return nil
		}
		return command("git", "commit", "-qam", fmt.Sprint("step ", n))(n)
	}},
	{"model", func(n int) error {
		body := prompt(modelBurst, bytes.Repeat([]byte("words of a prompt "), 4096), 1, 8<<10, fmt.Sprint("busy", n))
		req, err := http.NewRequest("POST", os.Getenv("OPENAI_BASE_URL")+"/chat/completions", bytes.NewReader(body))
		if err != nil {
			return err
		}
		req.Header.Set("Authorization", "Bearer "+os.Getenv("OPENAI_API_KEY"))
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if _, err := io.Copy(io.Discard, resp.Body); err != nil || resp.StatusCode != http.StatusOK {
			return fmt.Errorf("status %d: %w", resp.StatusCode, err)
		}
		return nil
	}},
}

func command(argv ...string) func(int) error {
	return func(int) error { return exec.Command(argv[0], argv[1:]...).Run() }
}

// soakStep is a command with children of its own, which its approval covers.
const soakStep = "for i in 1 2 3; do cat work-$i.txt 2>/dev/null | wc -l; done; (sleep 1 &)\n"
