package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/conntest"
)

// TestCommand: a recording in a file replays, with qlogs, and something else is refused.
func TestCommand(t *testing.T) {
	rnd := conntest.Seed(t, 1)
	n := conntest.New(t, 1)
	var tape bytes.Buffer
	server := n.Add("10.0.0.1:443", &conn.EndpointConfig{Server: conntest.ServerConfig(), Rand: rnd, Record: &tape})
	client := n.Add("10.0.0.2:5000", &conn.EndpointConfig{Rand: rnd})
	c, err := client.Dial(n.Now(), conn.Target{Remote: server.Addr}, conntest.ClientConfig())
	if err != nil {
		t.Fatal(err)
	}
	n.RunUntil(time.Minute, c.HandshakeComplete)

	dir := t.TempDir()
	name := filepath.Join(dir, "server.lazotape")
	if err := os.WriteFile(name, tape.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := replay(name, dir, false)
	if err != nil || !strings.Contains(s, "1 accepted") {
		t.Errorf("%s, %v", s, err)
	}
	if logs, _ := filepath.Glob(filepath.Join(dir, "*_server.sqlog")); len(logs) != 1 {
		t.Errorf("qlogs: %v", logs)
	}
	if err := os.WriteFile(name, []byte("something else"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := replay(name, "", false); err == nil {
		t.Error("something else was replayed")
	}
}
