package programs

import (
	"bytes"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/congestion"
	"github.com/lazoquic/lazo/internal/require"
	"github.com/lazoquic/lazo/loop"
)

// A steady is a congestion controller that sends at one rate, whatever happens.
type steady struct{ rate uint64 }

func (s *steady) OnSent(*congestion.Sent)     {}
func (s *steady) OnAck(*congestion.Ack)       {}
func (s *steady) OnLoss(*congestion.Loss)     {}
func (s *steady) OnSpurious(*congestion.Loss) {}
func (s *steady) OnMTU(int)                   {}
func (s *steady) Window() uint64              { return 1 << 20 }
func (s *steady) PacingRate() uint64          { return s.rate }

// A counting wraps a built-in controller.
type counting struct {
	congestion.Controller
	acks *atomic.Uint64
}

func (c counting) OnAck(a *congestion.Ack) {
	c.acks.Add(1)
	c.Controller.OnAck(a)
}

// A syncBuffer is written to by the goroutines of TLS handshakes.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

// TestObserving uses controllers of its own, a trace, a key log and counters.
func TestObserving(t *testing.T) {
	ctx := testContext(t)
	server, client := protos("echo")
	var keys syncBuffer
	server.KeyLogWriter = &keys
	var acks, received atomic.Uint64
	g := listen(t, 1, &loop.Config{Endpoint: conn.EndpointConfig{Server: &conn.Config{
		TLS:        server,
		Congestion: func(p congestion.Params) congestion.Controller { return counting{congestion.NewBBR(p), &acks} },
		Trace: func(ev *conn.TraceEvent) {
			if ev.Kind == conn.TracePacketReceived {
				received.Add(1)
			}
		},
	}}})
	go echo(ctx, g)
	c, err := loop.Dial(ctx, g.LocalAddr().String(), &conn.Config{
		TLS:        client,
		Congestion: func(congestion.Params) congestion.Controller { return &steady{rate: 10_000_000} },
	})
	require.NoError(t, err)
	s, err := c.OpenStream(ctx, conn.Bidi)
	require.NoError(t, err)
	say(t, s, strings.Repeat("look at this ", 10_000))

	var rtts []time.Duration // of all connections, for a histogram
	for _, l := range g.Loops() {
		require.NoError(t, l.Do(ctx, func(time.Time) {
			for c := range l.Endpoint().Conns() {
				rtts = append(rtts, c.Stats().SmoothedRTT)
			}
		}))
	}
	require.Len(t, rtts, 1)
	require.NotZero(t, rtts[0])
	st := g.Stats()
	require.EqualValues(t, 1, st.Connected)
	require.NotZero(t, st.Socket.ReadBuffer)
	require.NotZero(t, acks.Load())
	require.NotZero(t, received.Load())
	require.EqualValues(t, 1<<20, c.Stats().CongestionWindow)
	require.NoError(t, c.Close(0, ""))
	require.NoError(t, g.Close())

	keys.mu.Lock()
	require.Contains(t, keys.b.String(), "SERVER_TRAFFIC_SECRET_0")
	keys.mu.Unlock()
}
