package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lazoquic/lazo/internal/require"
)

// TestWatchTree takes three looks at a tree that changes.
func TestWatchTree(t *testing.T) {
	dir := unpack(t, "server")
	w := &watcher{m: &machine{files: os.DirFS(dir)}}
	require.Empty(t, w.look().Sockets, "the first look has nothing to compare with")
	edit := func(name, old, new string) {
		t.Helper()
		text := read(t, dir, name)
		require.Contains(t, text, old)
		text = strings.Replace(text, old, new, 1)
		require.NoError(t, os.WriteFile(filepath.Join(dir, filepath.FromSlash(name)), []byte(text), 0o644))
	}
	edit("proc/net/udp6", "71002 2 0000000000000000 3\n", "71002 2 0000000000000000 45\n")
	edit("proc/net/snmp6", "RcvbufErrors                	3", "RcvbufErrors                	45")
	edit("proc/net/snmp", "Udp: 7000000000", "Udp: 7000001000")
	var out bytes.Buffer
	now := time.Date(2026, 5, 4, 3, 2, 1, 0, time.UTC)
	require.NoError(t, w.look().write(&out, now, false))
	require.Equal(t, "03:02:01  1000 received, 42 lost\n        42 lost,     13312 bytes wait  [::]:443  edge (813)\n", out.String())

	out.Reset()
	require.NoError(t, w.look().write(&out, now, true))
	require.Equal(t, `{"time":"2026-05-04T03:02:01Z","received":0,"lost":0,"sockets":[]}`+"\n", out.String())
	w.all = true
	require.Len(t, w.look().Sockets, 3)
}

// TestWatchRounds counts the looks of the program.
func TestWatchRounds(t *testing.T) {
	var out bytes.Buffer
	args := []string{"watch", "-root", unpack(t, "container"), "-interval", "1ms", "-n", "3", "-all"}
	require.NoError(t, run(t.Context(), args, strings.NewReader(""), &out))
	require.Equal(t, 3, strings.Count(out.String(), "0 received, 0 lost\n"))
	require.Equal(t, 3, strings.Count(out.String(), "0 lost,         0 bytes wait  [::]:4433  python3 (24196)\n"))
}
