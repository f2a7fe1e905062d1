package conn_test

import (
	"io"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/conntest"
	"github.com/lazoquic/lazo/internal/require"
)

// A drip is a server and a client. The server sends a little on each stream from time to time. The
// client has asked once, and only receives.
type drip struct {
	n              *simulation
	client, server *conntest.Node
	cc             *conn.Conn
	streams        []*conn.Stream // of the server
	got            int            // bytes
	gotAt          time.Time
}

func newDrip(t *testing.T) *drip {
	rnd := conntest.Seed(t, 1)
	d := &drip{n: simulate(t, 1)}
	d.n.Default = conntest.Link{Delay: 25 * time.Millisecond}
	d.server = d.n.Add("10.0.0.1:443", &conn.EndpointConfig{Server: conntest.ServerConfig(), Rand: rnd})
	d.client = d.n.Add("10.0.0.2:5000", &conn.EndpointConfig{Rand: rnd})
	d.server.OnEvent = func(_ time.Time, ev conn.Event) {
		if ev.Kind == conn.EventStreamOpened {
			d.streams = append(d.streams, ev.Stream)
		}
	}
	d.client.OnEvent = func(now time.Time, ev conn.Event) {
		if ev.Kind != conn.EventStreamReadable {
			return
		}
		for {
			b, err := ev.Stream.Peek(1)
			if len(b) > 0 {
				d.got, d.gotAt = d.got+len(b), now
			}
			if ev.Stream.Discard(len(b)); err == io.EOF {
				ev.Stream.Release()
			}
			if err != nil {
				return
			}
		}
	}
	c, err := d.client.Dial(d.n.Now(), conn.Target{Remote: d.server.Addr}, conntest.ClientConfig())
	require.NoError(t, err)
	d.cc = c
	d.n.RunUntil(time.Second, c.HandshakeComplete)
	s, err := c.OpenStream(conn.Bidi)
	require.NoError(t, err)
	s.Write([]byte("request"))
	s.CloseWrite()
	d.n.RunFor(500 * time.Millisecond)
	require.Len(t, d.streams, 1)
	return d
}

// send sends a little, n times.
func (d *drip) send(n int, every time.Duration) {
	for range n {
		d.streams[0].Write(make([]byte, 100))
		d.n.RunFor(every)
	}
}

// TestReceiverIsRebound: a NAT gives another address to a client that only receives. The data that
// it waits for comes again soon.
func TestReceiverIsRebound(t *testing.T) {
	for _, every := range []time.Duration{20 * time.Millisecond, 200 * time.Millisecond, time.Second} {
		d := newDrip(t)
		d.send(60, every)
		d.n.RunFor(every / 2)
		d.n.Rebind(d.client, "192.0.2.9:61000")
		before, last := d.got, d.gotAt
		d.send(1, 0)
		d.n.RunUntil(20*time.Second, func() bool { return d.got > before })
		// the wait of quietWatch, and two probe timeouts of the server
		wait := max(3*every, 500*time.Millisecond) + 500*time.Millisecond
		if took := d.gotAt.Sub(last); d.got == before || took > wait+every {
			t.Errorf("a packet each %v: the next one came after %v", every, took)
		}
	}
}

// TestQuietIsBounded: a client whose response does not go on asks a few times. Without an open
// response it does not ask.
func TestQuietIsBounded(t *testing.T) {
	d := newDrip(t)
	d.send(20, 20*time.Millisecond)
	before := d.cc.Stats().PacketsSent
	d.n.RunFor(25 * time.Second)
	// PINGs, and the ACK of the last data
	if n := d.cc.Stats().PacketsSent - before; n < 2 || n > 6 {
		t.Errorf("%d packets while the server is silent", n)
	}
	d.streams[0].CloseWrite()
	d.streams[0].Release()
	d.n.RunFor(time.Second)
	before = d.cc.Stats().PacketsSent
	d.n.RunFor(25 * time.Second)
	if n := d.cc.Stats().PacketsSent - before; n != 0 {
		t.Errorf("%d packets where no answer is open", n)
	}
}

// TestQuietSlowServer: data comes at long intervals. The client takes them for usual and does not
// ask.
func TestQuietSlowServer(t *testing.T) {
	d := newDrip(t)
	d.send(30, time.Second)
	before := d.cc.Stats().PacketsSent
	d.send(20, time.Second)
	if n := d.cc.Stats().PacketsSent - before; n > 20 {
		t.Errorf("%d packets for 20 of the server", n)
	}
}
