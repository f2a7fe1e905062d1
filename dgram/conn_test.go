package dgram

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/conntest"
	"github.com/lazoquic/lazo/internal/require"
)

// A pair is two connected sides with a Mux each, and the datagrams that arrive at the server.
type pair struct {
	net      *conntest.Network
	client   *Mux
	received [][]byte // of flow
	flow     conn.StreamID
}

// newPair lets change alter the configurations. The server takes datagrams of the flow.
func newPair(t *testing.T, flow conn.StreamID, change func(server, client *conn.Config)) *pair {
	p := &pair{net: conntest.New(t, 1), flow: flow}
	p.net.Default = conntest.Link{Delay: time.Millisecond}
	scfg, ccfg := conntest.ServerConfig(), conntest.ClientConfig()
	scfg.MaxDatagramFrameSize = 1000
	if change != nil {
		change(scfg, ccfg)
	}
	srv := p.net.Add("10.0.0.1:443", &conn.EndpointConfig{Rand: rand.NewChaCha8([32]byte{1}), Server: scfg})
	cli := p.net.Add("10.0.0.2:1000", &conn.EndpointConfig{Rand: rand.NewChaCha8([32]byte{2})})
	c, err := cli.Dial(p.net.Now(), conn.Target{Remote: srv.Addr, ServerName: "lazo.test"}, ccfg)
	require.NoError(t, err)
	p.client = NewMux(c, 4)
	cli.OnEvent = func(now time.Time, ev conn.Event) { p.client.HandleEvent(now, ev) }
	var mux *Mux
	srv.OnEvent = func(now time.Time, ev conn.Event) {
		if mux == nil {
			mux = NewMux(ev.Conn, 16)
			mux.Flow(flow)
		}
		for _, f := range mux.HandleEvent(now, ev) {
			for b, ok := f.Receive(); ok; b, ok = f.Receive() {
				p.received = append(p.received, bytes.Clone(b))
			}
		}
	}
	return p
}

// TestLargestDatagram sends a datagram that just fits, and one that does not.
func TestLargestDatagram(t *testing.T) {
	p := newPair(t, 4*64, nil) // a quarter stream ID of two bytes
	f := p.client.Flow(p.flow)
	require.Zero(t, f.MaxSize(), "not known yet")
	p.net.RunFor(100 * time.Millisecond)
	size := f.MaxSize()
	require.Greater(t, size, 980)
	require.Equal(t, p.client.Flow(0).MaxSize(), size+1)
	_, err := f.Send(make([]byte, size+1), conn.DatagramOptions{})
	require.ErrorIs(t, err, conn.ErrTooLarge)
	var tooLarge *TooLargeError
	require.ErrorAs(t, err, &tooLarge)
	require.Equal(t, TooLargeError{Len: size + 1, Max: size}, *tooLarge)
	require.EqualError(t, err, fmt.Sprintf("dgram: %d bytes do not fit into a datagram, %d do", size+1, size))
	id, err := f.Send(make([]byte, size), conn.DatagramOptions{})
	require.NoError(t, err)
	require.Positive(t, id)
	p.net.RunFor(100 * time.Millisecond)
	require.Len(t, p.received, 1)
	require.Len(t, p.received[0], size)
	require.Equal(t, Stats{Sent: 1, SentBytes: uint64(size), Refused: 1}, f.Stats())
}

// TestLargestDatagramOfContext does the same within a context.
func TestLargestDatagramOfContext(t *testing.T) {
	p := newPair(t, 0, nil)
	f := p.client.Flow(0)
	c := NewContexts(f, true)
	p.net.RunFor(100 * time.Millisecond)
	for _, id := range []uint64{0, 64, 1 << 20} {
		size := c.MaxSize(id)
		var tooLarge *TooLargeError
		_, err := c.Send(id, make([]byte, size+1), conn.DatagramOptions{})
		require.ErrorAs(t, err, &tooLarge)
		require.Equal(t, TooLargeError{Len: size + 1, Max: size}, *tooLarge)
		_, err = c.Send(id, make([]byte, size), conn.DatagramOptions{})
		require.NoError(t, err)
	}
	p.net.RunFor(100 * time.Millisecond)
	require.Len(t, p.received, 3)
	for _, b := range p.received {
		require.Len(t, b, f.MaxSize())
	}
}

// TestFates counts the fates of datagrams by flow.
func TestFates(t *testing.T) {
	p := newPair(t, 0, nil)
	p.net.RunFor(100 * time.Millisecond)
	a, b := p.client.Flow(0), p.client.Flow(4)
	notify := conn.DatagramOptions{Notify: true}
	for range 5 {
		_, err := a.Send([]byte("a"), notify)
		require.NoError(t, err)
		_, err = b.Send([]byte("bb"), notify)
		require.NoError(t, err)
		_, err = b.Send([]byte("bb"), conn.DatagramOptions{})
		require.NoError(t, err)
	}
	p.net.RunFor(100 * time.Millisecond)
	require.Equal(t, Stats{Sent: 5, SentBytes: 5, Acked: 5}, a.Stats())
	require.Equal(t, Stats{Sent: 10, SentBytes: 20, Acked: 5}, b.Stats())
	require.Empty(t, p.client.notify)

	p.net.Default.Loss = 1
	a.Send([]byte("a"), notify)
	b.Close()
	p.net.RunFor(10 * time.Millisecond)
	p.net.Default.Loss = 0
	a.Send([]byte("a"), notify)
	p.net.RunFor(time.Second)
	require.Equal(t, Stats{Sent: 7, SentBytes: 7, Acked: 6, Lost: 1}, a.Stats())
	_, err := b.Send([]byte("bb"), notify)
	require.ErrorIs(t, err, conn.ErrClosed)
}

// TestQueueOfTheConnectionDecides: a datagram that the queue drops by policy or age counts as lost
// for its flow.
func TestQueueOfTheConnectionDecides(t *testing.T) {
	const queue = 8
	for _, policy := range []conn.DatagramPolicy{conn.DatagramWait, conn.DatagramDropOldest, conn.DatagramDropNewest} {
		p := newPair(t, 0, func(_, client *conn.Config) {
			client.DatagramSendQueue, client.DatagramPolicy = queue, policy
		})
		p.net.RunFor(100 * time.Millisecond)
		f := p.client.Flow(0)
		for i := range 3 * queue {
			_, err := f.Send([]byte{byte(i)}, conn.DatagramOptions{Notify: true})
			if policy == conn.DatagramWait && i >= queue {
				require.ErrorIs(t, err, conn.ErrWouldBlock)
			} else {
				require.NoError(t, err)
			}
		}
		p.net.RunFor(time.Second)
		st := f.Stats()
		require.EqualValues(t, queue, st.Acked)
		require.Len(t, p.received, queue)
		switch policy {
		case conn.DatagramWait:
			require.EqualValues(t, 2*queue, st.Refused)
			require.Zero(t, st.Lost)
		case conn.DatagramDropOldest:
			require.EqualValues(t, 2*queue, st.Lost)
			require.Equal(t, []byte{2 * queue}, p.received[0])
		case conn.DatagramDropNewest:
			require.EqualValues(t, 2*queue, st.Lost)
			require.Equal(t, []byte{0}, p.received[0])
		}
	}
}

// TestBurst: a Mux comes to the datagrams of several turns at once. The flow has as many as waited
// in the connection, and no more, although each flow is to have few.
func TestBurst(t *testing.T) {
	net := conntest.New(t, 1)
	net.Default = conntest.Link{Delay: time.Millisecond}
	scfg, ccfg := conntest.ServerConfig(), conntest.ClientConfig()
	scfg.MaxDatagramFrameSize, scfg.DatagramReceiveQueue, ccfg.DatagramSendQueue = 1000, 200, 1000
	srv := net.Add("10.0.0.1:443", &conn.EndpointConfig{Rand: rand.NewChaCha8([32]byte{1}), Server: scfg})
	cli := net.Add("10.0.0.2:1000", &conn.EndpointConfig{Rand: rand.NewChaCha8([32]byte{2})})
	c, err := cli.Dial(net.Now(), conn.Target{Remote: srv.Addr, ServerName: "lazo.test"}, ccfg)
	require.NoError(t, err)
	var mux *Mux
	srv.OnEvent = func(now time.Time, ev conn.Event) {
		if mux == nil {
			mux = NewMux(ev.Conn, 16)
		}
	}
	net.RunFor(100 * time.Millisecond)
	slow, quick := mux.Flow(0), mux.Flow(4)
	from := NewMux(c, 16)
	send := func(id conn.StreamID, n int) {
		for i := range n {
			_, err := from.Flow(id).Send([]byte{byte(i)}, conn.DatagramOptions{})
			require.NoError(t, err)
		}
		net.RunFor(time.Second)
		mux.HandleEvent(net.Now(), conn.Event{Kind: conn.EventDatagramReadable, Conn: mux.c})
	}
	take := func(f *Flow) (first byte, n int) {
		for b, ok := f.Receive(); ok; b, ok = f.Receive() {
			if n == 0 {
				first = b[0]
			}
			n++
		}
		return first, n
	}
	for range 2 { // one flow alone has room for all
		send(0, 180)
		first, n := take(slow)
		require.Equal(t, byte(0), first)
		require.Equal(t, 180, n)
	}
	require.Zero(t, mux.Dropped())
	send(0, 180)
	send(0, 180)
	require.Equal(t, 200, slow.Len())
	send(4, 100) // a flow that nobody reads leaves others what is theirs
	first, n := take(quick)
	require.Equal(t, byte(100-16), first)
	require.Equal(t, 16, n)
	require.EqualValues(t, 160+84, mux.Dropped())
	before := srv.Endpoint.Held()
	slow.Close()
	quick.Close()
	require.Less(t, srv.Endpoint.Held(), before-200*bufferCost-2*flowCost, "nothing is kept for reuse")
	require.Empty(t, mux.free)
}
