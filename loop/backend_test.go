package loop_test

import (
	"math/rand/v2"
	"net"
	"net/netip"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/conntest"
	"github.com/lazoquic/lazo/loop"
	"github.com/lazoquic/lazo/udpio"
)

// counting wraps a Backend: it counts, and drops messages on the way out.
type counting struct {
	loop.Backend
	in, out, dropped atomic.Int64
	drop             func() bool
}

func (c *counting) ReadBatch(ms []udpio.Message, d time.Time) (int, error) {
	n, err := c.Backend.ReadBatch(ms, d)
	c.in.Add(int64(n))
	return n, err
}

func (c *counting) WriteBatch(ms []udpio.Message) (int, error) {
	for i := range ms {
		if c.drop() {
			c.dropped.Add(1)
			continue // dealt with
		}
		if n, err := c.Backend.WriteBatch(ms[i : i+1]); n == 0 || err != nil {
			return i, err
		}
		c.out.Add(1)
	}
	return len(ms), nil
}

func TestWrappedBackend(t *testing.T) {
	var wrapped []*counting
	wrap := func(b loop.Backend) loop.Backend {
		r := rand.New(rand.NewPCG(1, uint64(len(wrapped)))) // each Loop has one of its own
		c := &counting{Backend: b, drop: func() bool { return r.IntN(20) == 0 }}
		wrapped = append(wrapped, c)
		return c
	}
	run(t, setup{link: near, wrap: wrap}, func(t *testing.T, w *world) {
		go serveEcho(t, w.server)
		transfer(t, w.open(w.dialOnly(nil), conn.Bidi), 1<<20, 1)
		for _, c := range wrapped {
			if c.in.Load() == 0 || c.out.Load() == 0 || c.dropped.Load() == 0 {
				t.Errorf("in %d, out %d, dropped %d", c.in.Load(), c.out.Load(), c.dropped.Load())
			}
		}
	})
}

// narrow is a Backend with room for few messages. It shows that only when it is written to. About
// some messages it returns an error.
type narrow struct {
	loop.Backend
	rand       *rand.Rand
	full, errs int
	last       int // messages that were left over
	reordered  bool
	first      *byte
}

func (n *narrow) WriteBatch(ms []udpio.Message) (int, error) {
	if n.last > 0 && (len(ms) != n.last || &ms[0].Buf[0] != n.first) {
		n.reordered = true
	}
	k, err := len(ms), error(nil)
	switch n.rand.IntN(20) {
	case 0, 1, 2, 3, 4:
		n.full++
		k = n.rand.IntN(len(ms))
	case 5:
		n.errs++
		k, err = n.rand.IntN(len(ms)), syscall.EPERM
	}
	if _, err := n.Backend.WriteBatch(ms[:k]); err != nil {
		return 0, err
	}
	n.last = len(ms) - k
	if err != nil {
		n.last--
	}
	if n.last > 0 {
		n.first = &ms[len(ms)-n.last].Buf[0]
	}
	return k, err
}

// TestFullBackend: the loop keeps messages that a Backend does not take, and writes them first the
// next time. It drops messages that the Backend refuses.
func TestFullBackend(t *testing.T) {
	var wrapped []*narrow
	wrap := func(b loop.Backend) loop.Backend {
		n := &narrow{Backend: b, rand: rand.New(rand.NewPCG(1, 1))}
		wrapped = append(wrapped, n)
		return n
	}
	run(t, setup{link: near, wrap: wrap}, func(t *testing.T, w *world) {
		go serveEcho(t, w.server)
		transfer(t, w.open(w.dialOnly(nil), conn.Bidi), 1<<20, 1)
		stats := []loop.Stats{w.server.Stats(), w.client.Stats()}
		w.server.Close()
		w.client.Close()
		for i, n := range wrapped {
			if n.full == 0 || n.errs == 0 {
				t.Errorf("the Backend was full %d times and failed %d times", n.full, n.errs)
			}
			if n.reordered {
				t.Error("what was left over did not come first")
			}
			if got := stats[i].WriteErrors; got == 0 || got > uint64(n.errs) {
				t.Errorf("%d messages counted as refused, want %d", got, n.errs)
			}
		}
	})
}

// rejoin is a Backend that returns GRO batches: it joins datagrams that came together from one
// peer.
type rejoin struct {
	loop.Backend
	spare   []udpio.Message
	batches int
}

func (j *rejoin) Caps() udpio.Caps {
	c := j.Backend.Caps()
	c.GRO = true
	return c
}

func (j *rejoin) ReadBatch(ms []udpio.Message, deadline time.Time) (int, error) {
	j.spare = make([]udpio.Message, 32)
	n, err := j.Backend.ReadBatch(j.spare, deadline)
	out := 0
	for _, m := range j.spare[:n] {
		if out > 0 && joins(&ms[out-1], &m) {
			last := &ms[out-1]
			if last.SegmentSize == 0 {
				last.SegmentSize = len(last.Buf)
				j.batches++
			}
			last.Buf = append(last.Buf, m.Buf...)
			continue
		}
		if out == len(ms) {
			break // lost
		}
		m.Buf = append(make([]byte, 0, 65536), m.Buf...)
		ms[out] = m
		out++
	}
	return out, err
}

// joins reports whether the kernel would append m to batch.
func joins(batch, m *udpio.Message) bool {
	size := batch.SegmentSize
	if size == 0 {
		size = len(batch.Buf)
	}
	return batch.Remote == m.Remote && batch.ECN == m.ECN && len(m.Buf) <= size && len(batch.Buf)%size == 0 &&
		len(batch.Buf)+len(m.Buf) <= 65535
}

func TestGRO(t *testing.T) {
	var wrapped []*rejoin
	wrap := func(b loop.Backend) loop.Backend {
		j := &rejoin{Backend: b}
		wrapped = append(wrapped, j)
		return j
	}
	run(t, setup{link: near, wrap: wrap}, func(t *testing.T, w *world) {
		go serveEcho(t, w.server)
		transfer(t, w.open(w.dialOnly(nil), conn.Bidi), 4<<20, 1)
		w.client.Close()
		w.server.Close()
		for _, j := range wrapped {
			if j.batches == 0 {
				t.Error("no batches")
			}
		}
	})
}

// TestRebind changes the client's address in the middle of a transfer. Streams go on.
func TestRebind(t *testing.T) {
	run(t, setup{link: conntest.Link{Delay: 10 * time.Millisecond, Rate: 10e6}}, func(t *testing.T, w *world) {
		client, server := w.dial(nil)
		a, b := w.pair(client, server)
		go func() {
			for range 20 {
				b.Write(make([]byte, 50_000))
				a.Write([]byte("."))
			}
			b.CloseWrite()
		}()
		time.AfterFunc(300*time.Millisecond, func() { w.net.Rebind(clientAddr, "192.0.2.9:61000") })
		n := 0
		for p := make([]byte, 10_000); ; {
			k, err := a.Read(p)
			n += k
			if err != nil {
				break
			}
		}
		if n != 1_000_000 {
			t.Errorf("read %d of 1,000,000 bytes: %v", n, server.Context().Err())
		}
		if got := server.RemoteAddr(); got != netip.MustParseAddrPort("192.0.2.9:61000") {
			t.Errorf("the server sees %v", got)
		}
	})
}

// distinct is a Backend that checks that each message has a buffer of its own.
type distinct struct {
	*udpio.Socket
	reads, shared int // of the loop's goroutine
}

func (d *distinct) ReadBatch(ms []udpio.Message, deadline time.Time) (int, error) {
	d.reads++
	seen := make(map[*byte]bool)
	for _, m := range ms {
		p := unsafe.SliceData(m.Buf)
		if seen[p] {
			d.shared++
		}
		seen[p] = true
	}
	return d.Socket.ReadBatch(ms, deadline)
}

// TestTruncated: datagrams that are too long for a buffer do not damage others.
func TestTruncated(t *testing.T) {
	noLeaks(t)
	for _, gro := range []bool{false, true} {
		s, err := udpio.Listen("udp4", "127.0.0.1:0", &udpio.Config{DisableGRO: !gro})
		if err != nil {
			t.Fatal(err)
		}
		peer, err := net.Dial("udp4", s.LocalAddr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer peer.Close()
		for range 3 { // before the loop runs, so that it reads them together
			peer.Write(make([]byte, 3000))
			peer.Write([]byte("fits"))
		}
		d := &distinct{Socket: s}
		g, err := loop.New(serverConfig(nil), d)
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			g.Stats()
		}
		if s.Stats().Truncated == 0 && !s.Caps().GRO {
			t.Error("nothing was cut off")
		}
		g.Close()
		if d.shared > 0 || d.reads < 2 {
			t.Errorf("GRO %v: in %d reads, %d messages shared memory", gro, d.reads, d.shared)
		}
	}
}
