package dgram

import (
	"fmt"
	"testing"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/internal/require"
	"github.com/lazoquic/lazo/internal/wire"
)

// inContext returns a datagram of quarter stream ID 0.
func inContext(id uint64, s string) []byte {
	return append(AppendContextID([]byte{0}, id), s...)
}

func receiveContexts(c *Contexts) (got []string) {
	for id, b, ok := c.Receive(); ok; id, b, ok = c.Receive() {
		got = append(got, fmt.Sprint(id, ":", string(b)))
	}
	return got
}

// RFC 9298, Section 4 [1].
func TestContextIDsAreOpenedByBothSides(t *testing.T) {
	m := NewMux(nil, 8)
	opener, other := NewContexts(m.Flow(0), true), NewContexts(m.Flow(4), false)
	for i := range uint64(3) {
		require.Equal(t, 2+2*i, opener.Open(), "even, and 0 exists")
		require.Equal(t, 1+2*i, other.Open())
	}
}

func TestContextsThatAreNotKnown(t *testing.T) {
	m := NewMux(nil, 16)
	c := NewContexts(m.Flow(0), true)
	id := c.Open()
	c.Register(1)
	c.Register(1)
	c.Register(1 << 40)
	for _, b := range [][]byte{
		inContext(0, "a"), inContext(1, "b"), inContext(id, "c"), inContext(3, "x"), inContext(1<<40, "d"),
		inContext(0, ""), {0}, {0, 0x40}, inContext(1<<61, "x"),
	} {
		m.deliver(b)
	}
	require.Equal(t, []string{"0:a", "1:b", "2:c", "1099511627776:d", "0:"}, receiveContexts(c))
	unknown, malformed := c.Dropped()
	require.Equal(t, []uint64{2, 2}, []uint64{unknown, malformed})

	c.Forget(1)
	c.Forget(1)
	c.Forget(0)
	m.deliver(inContext(1, "b"))
	m.deliver(inContext(0, "a"))
	require.Equal(t, []string{"0:a"}, receiveContexts(c), "context 0 stays")
}

func TestContextSizes(t *testing.T) {
	m := NewMux(nil, 8)
	m.Hold(true)
	f := m.Flow(0)
	c := NewContexts(f, true)
	require.Zero(t, c.MaxSize(0))
	_, err := c.Send(0, []byte("x"), conn.DatagramOptions{})
	var tooLarge *TooLargeError
	require.ErrorAs(t, err, &tooLarge)
	require.Equal(t, TooLargeError{Len: 1}, *tooLarge)
	require.EqualError(t, err, "dgram: the peer takes no datagrams, or not yet")
	require.EqualValues(t, 1, f.Stats().Refused)
}

func FuzzContexts(f *testing.F) {
	f.Add([]byte{0, 0, 'a'}, uint64(0))
	f.Add([]byte{0, 0x40, 1, 'a'}, uint64(1))
	f.Fuzz(func(t *testing.T, b []byte, known uint64) {
		m := NewMux(nil, 4)
		c := NewContexts(m.Flow(0), false)
		c.Register(known)
		m.deliver(b)
		id, payload, ok := c.Receive()
		if ok && (id != 0 && id != known || len(payload) >= len(b)) {
			t.Fatalf("context %d: %x of %x", id, payload, b)
		}
		if _, n := wire.ParseVarint(b); ok && n == 0 {
			t.Fatalf("%x has no flow", b)
		}
	})
}
