package dgram

import (
	"bytes"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/conntest"
)

// TestLargestDatagram sends what just fits, and what does not.
func TestLargestDatagram(t *testing.T) {
	n := conntest.New(t, 1)
	n.Default = conntest.Link{Delay: time.Millisecond}
	scfg, ccfg := conntest.ServerConfig(), conntest.ClientConfig()
	scfg.MaxDatagramFrameSize = 1000
	srv := n.Add("10.0.0.1:443", &conn.EndpointConfig{Rand: rand.NewChaCha8([32]byte{1}), Server: scfg})
	cli := n.Add("10.0.0.2:1000", &conn.EndpointConfig{Rand: rand.NewChaCha8([32]byte{2})})
	c, err := cli.Dial(n.Now(), conn.Target{Remote: srv.Addr, ServerName: "lazo.test"}, ccfg)
	require.NoError(t, err)
	m := NewMux(c, 4)
	f := m.Flow(4 * 64) // a quarter stream ID of two bytes
	require.Zero(t, f.MaxSize(), "not known yet")
	var mux *Mux
	var got [][]byte
	srv.OnEvent = func(now time.Time, ev conn.Event) {
		if mux == nil {
			mux = NewMux(ev.Conn, 4)
			mux.Flow(f.ID())
		}
		for _, f := range mux.HandleEvent(now, ev) {
			for b, ok := f.Receive(); ok; b, ok = f.Receive() {
				got = append(got, bytes.Clone(b))
			}
		}
	}
	n.RunFor(100 * time.Millisecond)
	size := f.MaxSize()
	require.Greater(t, size, 980)
	require.Equal(t, m.Flow(0).MaxSize(), size+1)
	_, err = f.Send(make([]byte, size+1), conn.DatagramOptions{})
	require.ErrorIs(t, err, conn.ErrTooLarge)
	id, err := f.Send(make([]byte, size), conn.DatagramOptions{})
	require.NoError(t, err)
	require.Positive(t, id)
	n.RunFor(100 * time.Millisecond)
	require.Len(t, got, 1)
	require.Len(t, got[0], size)
	sent, _ := f.Counts()
	require.EqualValues(t, 1, sent)
}
