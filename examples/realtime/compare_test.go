package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lazoquic/lazo/examples/internal/usage"
	"github.com/lazoquic/lazo/internal/require"
)

// TestAges runs the comparison as a user does.
func TestAges(t *testing.T) {
	plot := filepath.Join(t.TempDir(), "ages.svg")
	p := start(t, "-ages", "-for", "500ms", "-loss", "1", "-delay", "7ms", "-plot", plot)
	p.until(`^A path with a round trip of 14ms loses 1 % of the packets in each direction\. .* for 500ms\.$`)
	for _, name := range []string{"datagrams", "one reliable stream"} {
		p.until(`^\| ` + name + ` \| \d+ ms \| \d+ ms \| \d+ ms \|$`)
	}
	p.until(`^\| a WebSocket over TCP \| |^The WebSocket is not among them: .* needs Linux, root and /dev/net/tun: `)
	for range p.lines {
	}
	require.NoError(t, <-p.ended)
	svg, err := os.ReadFile(plot)
	require.NoError(t, err)
	require.True(t, strings.HasPrefix(string(svg), "<svg "))
}

// TestFlagsOfAges: flags that would have no effect are mistakes.
func TestFlagsOfAges(t *testing.T) {
	for _, flags := range []string{
		"-ages -bots 3", "-ages -connect 127.0.0.1:1", "-ages -insecure", "-ages -cert x.pem",
		"-ages -plot /nonexistent/x.svg", "-plot x.svg", "-ages -loss 101",
	} {
		err := run(t.Context(), strings.Fields(flags), nil, os.Stdout)
		var wrong *usage.Error
		require.True(t, errors.As(err, &wrong), "%s: %v", flags, err)
	}
}
