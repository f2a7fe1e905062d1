package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/internal/netrelay"
	"github.com/lazoquic/lazo/internal/require"
)

// A thief drops the packet that carries the end of a large resource, each time that it is sent,
// until it is told to stop.
type thief struct {
	active atomic.Bool
	took   chan struct{} // closed when it has taken the packet for the first time
	once   sync.Once
	behind chan struct{} // closed when TCP has sent something behind it
	after  sync.Once

	mu   sync.Mutex
	sent []sentPacket // over QUIC, not seen by filter yet
	hole uint32       // over TCP: the first sequence number that is missing
	// over QUIC: the end of the large resource shared a packet with other data, and that packet was
	// let through
	mixed bool
}

// A sentPacket identifies a QUIC packet, and says what it carries.
type sentPacket struct {
	size       int
	end, small bool
}

func newThief() *thief { return &thief{took: make(chan struct{}), behind: make(chan struct{})} }

var (
	largeEnd  = bytes.Repeat([]byte("L"), 1000)
	smallBody = bytes.Repeat([]byte("s"), 300)
)

// trace notes what a server sends.
func (th *thief) trace(ev *conn.TraceEvent) {
	if ev.Kind != conn.TracePacketSent || ev.Packet != conn.Packet1RTT {
		return
	}
	th.mu.Lock()
	defer th.mu.Unlock()
	th.sent = append(th.sent, sentPacket{
		size: ev.Size, end: bytes.Contains(ev.Payload, largeEnd[:32]), small: bytes.Contains(ev.Payload, smallBody[:32]),
	})
}

// filter is for a Tunnel.
func (th *thief) filter(dir netrelay.Dir, p []byte) bool {
	if dir == netrelay.Up || p[0]>>4 != 4 {
		return true
	}
	body := p[p[0]&15*4:]
	th.mu.Lock()
	defer th.mu.Unlock()
	var take bool
	switch p[9] {
	case 6:
		take = th.takeTCP(binary.BigEndian.Uint32(body[4:]), len(body)-int(body[12]>>4*4))
	case 17:
		take = th.takeQUIC(body[8:])
	}
	if take {
		th.once.Do(func() { close(th.took) })
	}
	return !take
}

// takeTCP takes the first segment that is long enough for the end of the large resource, and later
// every segment with the first byte of that one.
func (th *thief) takeTCP(seq uint32, size int) bool {
	if !th.active.Load() {
		return false
	}
	if th.hole == 0 && size >= len(largeEnd) {
		th.hole = seq
	}
	if th.hole == 0 || size == 0 {
		return false
	}
	if int32(seq-th.hole) > 0 {
		th.after.Do(func() { close(th.behind) })
	}
	return th.hole-seq < uint32(size)
}

// takeQUIC takes packets with the end of the large resource and nothing of a small one.
func (th *thief) takeQUIC(datagram []byte) bool {
	if datagram[0]&0x80 != 0 {
		return false // a long header
	}
	for len(th.sent) > 0 {
		s := th.sent[0]
		th.sent = th.sent[1:]
		if s.size != len(datagram) {
			continue // it went behind a long header
		}
		take := s.end && !s.small && th.active.Load()
		th.mixed = th.mixed || s.end && !take
		return take
	}
	return false
}

// A stage is a site with a large resource whose end waits for a word, and small ones.
type stage struct {
	*site
	thief  *thief
	finish chan struct{} // to be closed for the end of the large resource
	served chan struct{} // one for each small resource that was written
}

func newStage(t *testing.T, start func(*netrelay.Tunnel, *visit, http.Handler) (*site, error)) *stage {
	st := &stage{thief: newThief(), finish: make(chan struct{}), served: make(chan struct{}, 100)}
	path := netrelay.Link{Delay: 50 * time.Millisecond}
	tun, err := netrelay.NewTunnel(netrelay.TunnelConfig{Up: path, Down: path, Filter: st.thief.filter})
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, fs.ErrNotExist) {
		t.Skipf("needs root and TUN devices: %v", err)
	}
	require.NoError(t, err)
	t.Cleanup(tun.Close)
	cc := controllers[0]
	cc.trace = st.thief.trace
	st.site, err = start(tun, &visit{cc: cc}, http.HandlerFunc(st.serve))
	require.NoError(t, err)
	t.Cleanup(st.close)
	return st
}

func (st *stage) serve(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/1" {
		w.Write(smallBody)
		st.served <- struct{}{}
		return
	}
	w.Write(make([]byte, 20_000))
	http.NewResponseController(w).Flush()
	select {
	case <-st.finish:
		w.Write(largeEnd)
	case <-r.Context().Done():
	}
}

// take asks for the large resource, and has its end stolen. The channel gets an error, or nil,
// after the whole resource.
func (st *stage) take(ctx context.Context, t *testing.T) <-chan error {
	large, err := st.get(ctx, 0)
	require.NoError(t, err)
	t.Cleanup(func() { large.Close() })
	_, err = io.CopyN(io.Discard, large, 20_000)
	require.NoError(t, err)
	st.thief.active.Store(true)
	close(st.finish)
	<-st.thief.took
	done := make(chan error, 1)
	go func() {
		end, err := io.ReadAll(large)
		if err == nil && !bytes.Equal(end, largeEnd) {
			err = errors.New("another end")
		}
		done <- err
	}()
	return done
}

// small asks for n small resources at once. An error comes for each.
func (st *stage) small(ctx context.Context, n int) <-chan error {
	done := make(chan error, n)
	for range n {
		go func() {
			_, err := st.fetch(ctx, 1)
			done <- err
		}()
	}
	return done
}

const smallOnes = 20

// TestHTTP3 has the end of a large resource lost for as long as it takes 20 small ones to come.
func TestHTTP3(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	st := newStage(t, startHTTP3)
	large := st.take(ctx, t)
	small := st.small(ctx, smallOnes)
	for range smallOnes {
		require.NoError(t, <-small)
	}
	st.thief.mu.Lock()
	mixed := st.thief.mixed
	st.thief.mu.Unlock()
	if mixed {
		t.Log("the lost bytes came in a packet of a small resource")
	} else {
		require.Empty(t, large, "the large resource came without its end")
	}
	st.thief.active.Store(false)
	require.NoError(t, <-large)
}

// TestHTTP2 is the same over TCP, where all of them wait.
func TestHTTP2(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	st := newStage(t, func(tun *netrelay.Tunnel, v *visit, h http.Handler) (*site, error) {
		return startHTTP2(tun, v, h, 0)
	})
	large := st.take(ctx, t)
	small := st.small(ctx, smallOnes)
	for range smallOnes {
		<-st.served
	}
	select {
	case <-st.thief.behind:
	case <-time.After(3 * time.Second):
		// after a slow start TCP has a small window
		t.Log("the server sends nothing behind the hole")
	}
	require.Empty(t, small, "a small resource came past a hole")
	require.Empty(t, large)
	st.thief.active.Store(false)
	for range smallOnes {
		require.NoError(t, <-small)
	}
	require.NoError(t, <-large)
}
