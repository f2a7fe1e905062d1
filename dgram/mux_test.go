package dgram

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/internal/require"
	"github.com/lazoquic/lazo/internal/wire"
)

func datagram(quarter uint64, s string) []byte {
	return append(wire.AppendVarint(nil, quarter), s...)
}

func receiveAll(f *Flow) (got []string) {
	for b, ok := f.Receive(); ok; b, ok = f.Receive() {
		got = append(got, string(b))
	}
	return got
}

func TestMuxSplitsByFlow(t *testing.T) {
	m := NewMux(nil, 8)
	a, b := m.Flow(0), m.Flow(4)
	require.Same(t, a, m.Flow(0))
	require.Equal(t, conn.StreamID(4), b.ID())

	for i := range 3 {
		m.deliver(datagram(0, fmt.Sprint("a", i)))
		m.deliver(datagram(1, fmt.Sprint("b", i)))
	}
	require.Equal(t, []*Flow{a, b}, m.ready, "each once, in the order of arrival")
	require.Equal(t, 3, a.Len())
	require.Equal(t, []string{"a0", "a1", "a2"}, receiveAll(a))
	require.Equal(t, []string{"b0", "b1", "b2"}, receiveAll(b))

	m.ready = nil
	m.deliver(datagram(0, ""))
	require.Equal(t, []*Flow{a}, m.ready, "readable again after Receive reported false")
	require.Equal(t, []string{""}, receiveAll(a))
}

func TestFlowIsEdgeTriggered(t *testing.T) {
	m := NewMux(nil, 8)
	f := m.Flow(0)
	m.deliver(datagram(0, "1"))
	m.deliver(datagram(0, "2"))
	_, ok := f.Receive()
	require.True(t, ok)
	m.ready = nil
	m.deliver(datagram(0, "3"))
	require.Empty(t, m.ready, "the reader has not seen the end yet")
}

func TestFlowDropsTheOldest(t *testing.T) {
	m := NewMux(nil, 5)
	f := m.Flow(8)
	for i := range 12 {
		m.deliver(datagram(2, fmt.Sprint(i)))
	}
	require.EqualValues(t, 7, f.Dropped())
	require.Equal(t, []string{"7", "8", "9", "10", "11"}, receiveAll(f))
	require.Equal(t, Stats{Received: 12, ReceivedBytes: 14, Dropped: 7}, f.Stats())
}

// RFC 9297, Section 2.1 [5]; RFC 9298, Section 5 [5, 6].
func TestDatagramsOvertakeTheRequest(t *testing.T) {
	m := NewMux(nil, 3)
	for i := range 2 {
		m.deliver(datagram(0, fmt.Sprint("a", i)))
		m.deliver(datagram(1, fmt.Sprint("b", i)))
	}
	require.EqualValues(t, 1, m.Dropped(), "three wait in all")
	require.Empty(t, m.ready)
	require.Equal(t, []string{"a1"}, receiveAll(m.Flow(0)))
	require.Equal(t, 2, m.Flow(4).Len())
	require.Empty(t, m.waiting)
}

func TestClosedFlow(t *testing.T) {
	m := NewMux(nil, 3)
	f := m.Flow(0)
	m.deliver(datagram(0, "x"))
	f.Close()
	f.Close()
	m.deliver(datagram(0, "y"))
	require.EqualValues(t, 1, m.Dropped())
	require.Empty(t, m.waiting)
	_, ok := f.Receive()
	require.False(t, ok)
	_, err := f.Send(nil, conn.DatagramOptions{})
	require.ErrorIs(t, err, conn.ErrClosed)
	require.Zero(t, f.MaxSize())
	for i := range conn.StreamID(100) {
		m.Flow(4 * i).Close()
	}
	require.Empty(t, m.flows)
}

func TestHeldFlow(t *testing.T) {
	m := NewMux(nil, 3)
	m.Hold(true)
	f := m.Flow(0)
	_, err := f.Send([]byte("x"), conn.DatagramOptions{})
	require.ErrorIs(t, err, conn.ErrTooLarge)
	require.Zero(t, f.MaxSize())
}

func TestMalformedDatagrams(t *testing.T) {
	m := NewMux(nil, 3)
	for i, b := range [][]byte{{}, {0x40}, {0xd0, 0, 0, 0, 0, 0, 0, 0}, {0xff, 0xff}} {
		m.deliver(b)
		require.EqualValues(t, i+1, m.Malformed(), "%x", b)
	}
	m.deliver(wire.AppendVarint(nil, maxQuarterID))
	require.EqualValues(t, 4, m.Malformed())
}

func TestMuxDoesNotAllocate(t *testing.T) {
	m := NewMux(nil, 16)
	flows := []*Flow{m.Flow(0), m.Flow(4), m.Flow(8)}
	d := bytes.Repeat([]byte{1}, 1200)
	run := func() {
		m.ready = m.ready[:0]
		for i := range 40 {
			d[0] = byte(i % 4) // one of them has no flow
			m.deliver(d)
		}
		for _, f := range flows {
			for _, ok := f.Receive(); ok; _, ok = f.Receive() {
			}
		}
	}
	run()
	require.Zero(t, testing.AllocsPerRun(100, run))
}

func FuzzMux(f *testing.F) {
	f.Add([]byte("\x00abc"))
	f.Add([]byte{0xd0, 0, 0, 0, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		m := NewMux(nil, 2)
		fl := m.Flow(0)
		for range 3 {
			m.deliver(b)
		}
		if fl.Len() > 2 || len(m.waiting) > 2 {
			t.Fatal("more than it may hold")
		}
	})
}
