package main

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/conntest"
	"github.com/lazoquic/lazo/internal/tape"
)

// TestCommand: a recording in a file replays, with qlogs, and something else is refused.
func TestCommand(t *testing.T) {
	rnd := conntest.Seed(t, 1)
	n := conntest.New(t, 1)
	var record bytes.Buffer
	server := n.Add("10.0.0.1:443", &conn.EndpointConfig{Server: conntest.ServerConfig(), Rand: rnd, Record: &record})
	client := n.Add("10.0.0.2:5000", &conn.EndpointConfig{Rand: rnd})
	c, err := client.Dial(n.Now(), conn.Target{Remote: server.Addr}, conntest.ClientConfig())
	if err != nil {
		t.Fatal(err)
	}
	n.RunUntil(time.Minute, c.HandshakeComplete)

	dir := t.TempDir()
	name := filepath.Join(dir, "server.lazotape")
	if err := os.WriteFile(name, record.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := replay(name, newQLogs(dir), false)
	if err != nil || !strings.Contains(s, "1 accepted") {
		t.Errorf("%s, %v", s, err)
	}
	if logs, _ := filepath.Glob(filepath.Join(dir, "*_server.sqlog")); len(logs) != 1 {
		t.Errorf("qlogs: %v", logs)
	}

	// The same with a checksum that is another one, near the end.
	if err := os.WriteFile(name, changeLast(t, record.Bytes()), 0o600); err != nil {
		t.Fatal(err)
	}
	other := t.TempDir()
	var d *conn.DivergenceError
	if _, err := replay(name, newQLogs(other), false); !errors.As(err, &d) {
		t.Errorf("another recording: %v", err)
	}
	if logs, _ := filepath.Glob(filepath.Join(other, "*_server.sqlog")); len(logs) != 1 || fileSize(t, logs[0]) == 0 {
		t.Errorf("qlogs up to where the replay diverges: %v", logs)
	}

	if err := os.WriteFile(name, []byte("something else"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := replay(name, newQLogs(""), false); err == nil {
		t.Error("something else was replayed")
	}
}

// TestRepeatedID: connections with the same ID have a qlog each. Another run has the same names.
func TestRepeatedID(t *testing.T) {
	dir := t.TempDir()
	id, _ := conn.ConnIDFromSlice([]byte{0xab, 1, 2, 3, 4, 5, 6, 7})
	for range 2 {
		logs := newQLogs(dir)
		for size := int64(1); size <= 3; size++ {
			l := logs.open(id, true)
			l.Write(make([]byte, size))
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
		}
		for i, name := range []string{"ab01020304050607", "ab01020304050607-2", "ab01020304050607-3"} {
			if size := fileSize(t, filepath.Join(dir, name+"_server.sqlog")); size != int64(i+1) {
				t.Errorf("%s: %d bytes", name, size)
			}
		}
	}
}

func fileSize(t *testing.T, name string) int64 {
	t.Helper()
	info, err := os.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

// changeLast returns a recording of which the last datagram has another checksum.
func changeLast(t *testing.T, b []byte) []byte {
	t.Helper()
	// Of the format, a kind, and where the checksums of a burst begin.
	const version, result, burst = 2, 4, 5
	in, err := tape.NewReader(bytes.NewReader(b), version)
	if err != nil {
		t.Fatal(err)
	}
	var all []tape.Entry
	last := -1
	for {
		var e tape.Entry
		if err := in.Next(&e); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		for i, s := range e.Strings {
			e.Strings[i] = bytes.Clone(s)
		}
		if all = append(all, e); e.Kind == result && len(e.Numbers) >= burst && len(e.Strings) == 2 {
			last = len(all) - 1
		}
	}
	if last < 0 {
		t.Fatal("nothing was sent")
	}
	all[last].Numbers[burst-1] ^= 1
	var out bytes.Buffer
	w := tape.NewWriter(&out, version)
	for _, e := range all {
		w.Write(e.Kind, e.Numbers, e.Strings...)
	}
	w.Flush()
	return out.Bytes()
}
