package interop

import (
	"bytes"
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/qlogwriter"

	"github.com/lazoquic/lazo/internal/require"
)

// TestQLogView: examples/qlogview shows what quic-go has logged on both sides of a connection, on
// which the receiver does not read for a while.
func TestQLogView(t *testing.T) {
	const size, pause = 1_000_000, 200 * time.Millisecond
	dir := t.TempDir()
	clientLog := func() []byte {
		b, _ := os.ReadFile(filepath.Join(dir, "client.sqlog"))
		return b
	}
	var logs qlogs
	config := func(name string) *quic.Config {
		cfg := foreignConfig()
		cfg.InitialConnectionReceiveWindow, cfg.MaxConnectionReceiveWindow = 200_000, 200_000
		cfg.InitialStreamReceiveWindow, cfg.MaxStreamReceiveWindow = 200_000, 200_000
		cfg.Tracer = logs.tracer(t, filepath.Join(dir, name))
		return cfg
	}
	server, client := tlsConfigs(t, alpn)
	l, err := foreignTransport(t).Listen(server, config("server.sqlog"))
	require.NoError(t, err)
	defer l.Close()
	got := make(chan int64, 1)
	ctx := testContext(t)
	go func() {
		c, err := l.Accept(ctx)
		if err != nil {
			return
		}
		s, err := c.AcceptUniStream(ctx)
		if err != nil {
			return
		}
		for ctx.Err() == nil && !bytes.Contains(clientLog(), []byte("data_blocked")) {
			time.Sleep(time.Millisecond)
		}
		time.Sleep(pause)
		n, _ := io.Copy(io.Discard, s)
		got <- n
	}()
	c, err := foreignTransport(t).Dial(ctx, l.Addr(), client, config("client.sqlog"))
	require.NoError(t, err)
	s, err := c.OpenUniStreamSync(ctx)
	require.NoError(t, err)
	_, err = s.Write(make([]byte, size))
	require.NoError(t, err)
	require.NoError(t, s.Close())
	require.EqualValues(t, size, <-got)
	require.NoError(t, c.CloseWithError(0, ""))
	l.Close()
	logs.Wait()

	program := filepath.Join(dir, "qlogview")
	out, err := exec.Command("go", "build", "-o", program, "github.com/lazoquic/lazo/examples/qlogview").CombinedOutput()
	require.NoError(t, err, "%s", out)
	cmd := exec.Command(program, "client.sqlog", "server.sqlog")
	cmd.Dir = dir
	out, err = cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
	t.Logf("%s", out)
	facts := string(out)
	for _, name := range []string{"client", "server"} {
		log, err := os.ReadFile(filepath.Join(dir, name+".sqlog"))
		require.NoError(t, err)
		sent, received := bytes.Count(log, []byte(`"transport:packet_sent"`)), bytes.Count(log, []byte(`"transport:packet_received"`))
		require.Greater(t, sent+received, 700)
		require.Regexp(t, name+`\.sqlog: `+name+`, .* `+strconv.Itoa(sent)+` packets sent, `+strconv.Itoa(received)+` received, \d+ lost, 1 streams`, facts)
	}
	// The limit is reached, or so the client has said, and after that the receiver does not read.
	waited := regexp.MustCompile(`(?s)client\.sqlog:.*?flow control ([\d.]+) ms .*?server\.sqlog:`).FindStringSubmatch(facts)
	require.NotNil(t, waited, "%s", facts)
	ms, err := strconv.ParseFloat(waited[1], 64)
	require.NoError(t, err)
	require.GreaterOrEqual(t, ms, float64(pause/time.Millisecond)-1)
}

// qlogs writes logs of quic-go, and waits for their ends.
type qlogs struct{ sync.WaitGroup }

func (q *qlogs) tracer(t *testing.T, name string) func(context.Context, bool, quic.ConnectionID) qlogwriter.Trace {
	return func(_ context.Context, isClient bool, id quic.ConnectionID) qlogwriter.Trace {
		f, err := os.Create(name)
		if err != nil {
			t.Error(err)
			return nil
		}
		trace := qlogwriter.NewConnectionFileSeq(f, isClient, id)
		q.Go(trace.Run)
		return trace
	}
}
