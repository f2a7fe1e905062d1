package wire

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lazoquic/lazo/internal/require"
)

// A bridge is a process that parses as quic-go does.
type bridge struct {
	in  io.Writer
	out *bufio.Reader
}

// copied are the directories of quic-go that its parser needs.
var copied = []string{"internal/protocol", "internal/qerr", "internal/utils", "internal/wire", "internal/monotime", "quicvarint"}

// startBridge builds the program of testdata/bridge.go.txt in a copy of quic-go, and starts it.
func startBridge(t testing.TB) *bridge {
	t.Helper()
	var quicGo struct{ Dir string }
	out, err := exec.Command("go", "list", "-m", "-json", "github.com/quic-go/quic-go").Output()
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(out, &quicGo))
	dir := t.TempDir()
	for _, d := range copied {
		copyDir(t, filepath.Join(quicGo.Dir, d), filepath.Join(dir, d))
	}
	for _, f := range []string{"go.mod", "go.sum"} {
		copyFile(t, filepath.Join(quicGo.Dir, f), filepath.Join(dir, f))
	}
	require.NoError(t, os.Mkdir(filepath.Join(dir, "bridge"), 0o755))
	copyFile(t, "testdata/bridge.go.txt", filepath.Join(dir, "bridge", "main.go"))
	build := exec.Command("go", "build", "-o", "program", "./bridge")
	build.Dir = dir
	out, err = build.CombinedOutput()
	require.NoError(t, err, string(out))
	c := exec.Command(filepath.Join(dir, "program"))
	c.Stderr = os.Stderr
	in, err := c.StdinPipe()
	require.NoError(t, err)
	pipe, err := c.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, c.Start())
	t.Cleanup(func() {
		in.Close()
		c.Wait()
	})
	return &bridge{in: in, out: bufio.NewReader(pipe)}
}

// ask returns the answer to a packet.
func (b *bridge) ask(t testing.TB, packet []byte) string {
	t.Helper()
	_, err := b.in.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(packet))), packet...))
	require.NoError(t, err)
	line, err := b.out.ReadString('\n')
	require.NoError(t, err)
	return strings.TrimSuffix(line, "\n")
}

// copyDir copies the Go files of a directory that are no tests.
func copyDir(t testing.TB, from, to string) {
	t.Helper()
	require.NoError(t, os.MkdirAll(to, 0o755))
	files, err := filepath.Glob(filepath.Join(from, "*.go"))
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, f := range files {
		if !strings.HasSuffix(f, "_test.go") {
			copyFile(t, f, filepath.Join(to, filepath.Base(f)))
		}
	}
}

func copyFile(t testing.TB, from, to string) {
	t.Helper()
	b, err := os.ReadFile(from)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(to, b, 0o644))
}
