package hostile

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/conntest"
	"github.com/lazoquic/lazo/h3"
	"github.com/lazoquic/lazo/h3/h3http"
	"github.com/lazoquic/lazo/internal/require"
	"github.com/lazoquic/lazo/loop"
)

// A target is the server that peers talk to. A port stands for the address of a peer.
type target interface {
	// port returns one that is new.
	port() uint16
	write(b []byte, port uint16)
	// read returns the next datagram for a peer. It waits for a while; ok is false if none comes.
	read(port uint16) (b []byte, ok bool)
	// poll returns it if it is there already.
	poll(port uint16) (b []byte, ok bool)
	// count has a meter count while the target takes datagrams.
	count(m *meter)
	// held returns how much counts against the limit of memory.
	held() int64
	// rest waits until all connections are gone. No more than before may be held then.
	rest(t testing.TB, before int64)
}

// page is what both targets answer to every request.
const page = "the page of an honest client"

// quicConfig is that of the targets. Path MTU discovery is off, so that answers are answers.
func quicConfig() *conn.Config {
	return &conn.Config{MaxMTU: minDatagram, MaxDatagramFrameSize: minDatagram}
}

// A core is an Endpoint with HTTP/3, in virtual time.
type core struct {
	t     testing.TB
	e     *conn.Endpoint
	http  h3.Config
	now   time.Time
	conns map[*conn.Conn]*h3.Conn
	out   map[uint16][][]byte
	buf   []byte
	peak  int64 // of what was held
	meter *meter
	ports uint16
}

var coreAddr = netip.MustParseAddrPort("10.0.0.1:443")

func peerAddr(port uint16) netip.AddrPort {
	return netip.AddrPortFrom(netip.MustParseAddr("10.0.0.2"), 1000+port)
}

// newCore returns a core whose configuration edit may change. Its table for QPACK has so many
// bytes.
func newCore(t *testing.T, edit func(*conn.EndpointConfig), table int64) *core {
	server := quicConfig()
	server.TLS = conntest.ServerTLS()
	server.TLS.NextProtos = []string{"h3"}
	cfg := &conn.EndpointConfig{Rand: conntest.Seed(t, 1), Server: server}
	if edit != nil {
		edit(cfg)
	}
	e, err := conn.NewEndpoint(cfg)
	require.NoError(t, err)
	t.Cleanup(e.Close)
	return &core{
		t: t, e: e, now: time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC), conns: make(map[*conn.Conn]*h3.Conn),
		http: h3.Config{Datagrams: true, QPACKTableCapacity: table, QPACKBlockedStreams: min(table, 100)},
		out:  make(map[uint16][][]byte), buf: make([]byte, 65535),
	}
}

func (c *core) port() uint16 { c.ports++; return c.ports }

func (c *core) count(m *meter) { c.meter = m }

func (c *core) write(b []byte, port uint16) {
	c.meter.start()
	defer c.meter.stop()
	c.e.Receive(c.now, conn.Datagram{Data: append([]byte(nil), b...), Remote: peerAddr(port), Local: coreAddr})
	c.pump()
}

// pump takes events and output until there are none.
func (c *core) pump() {
	for moved := true; moved; {
		moved = false
		c.e.HandleTimeout(c.now)
		for ev, ok := c.e.NextEvent(); ok; ev, ok = c.e.NextEvent() {
			moved = true
			c.handle(ev)
		}
		c.peak = max(c.peak, c.e.Held())
		for b, ok := c.e.Transmit(c.now, c.buf, 64); ok; b, ok = c.e.Transmit(c.now, c.buf, 64) {
			moved = true
			c.collect(b)
		}
	}
}

// collect takes the datagrams of a burst.
func (c *core) collect(b conn.Burst) {
	for data := c.buf[:b.N]; len(data) > 0; {
		n := min(len(data), b.SegmentSize)
		port := b.Remote.Port() - 1000
		c.out[port] = append(c.out[port], append([]byte(nil), data[:n]...))
		data = data[n:]
	}
}

func (c *core) handle(ev conn.Event) {
	h := c.conns[ev.Conn]
	if h == nil {
		var err error
		h, err = h3.NewConn(ev.Conn, &c.http)
		require.NoError(c.t, err)
		c.conns[ev.Conn] = h
	}
	h.HandleEvent(c.now, ev)
	for ev, ok := h.NextEvent(); ok; ev, ok = h.NextEvent() {
		serve(ev)
	}
	if ev.Kind == conn.EventClosed {
		delete(c.conns, ev.Conn)
	}
}

// serve answers requests once they have come whole.
func serve(ev h3.Event) {
	s := ev.Stream
	switch ev.Kind {
	case h3.EventCanceled:
		s.Release()
		return
	case h3.EventFields:
		if !ev.End {
			return
		}
	case h3.EventReadable:
		if _, err := io.Copy(io.Discard, s); err != nil { // to the end
			return
		}
	default:
		return
	}
	s.SendFields([]h3.Field{{Name: ":status", Value: "200"}}, false)
	io.WriteString(s, page)
	s.CloseWrite()
	s.Release()
}

func (c *core) poll(port uint16) (b []byte, ok bool) {
	if len(c.out[port]) == 0 {
		return nil, false
	}
	b = c.out[port][0]
	c.out[port] = c.out[port][1:]
	return b, true
}

// read lets up to a second pass.
func (c *core) read(port uint16) (b []byte, ok bool) {
	for end := c.now.Add(time.Second); ; {
		if b, ok = c.poll(port); ok || c.now.Equal(end) {
			return b, ok
		}
		c.now = c.next(end)
		c.pump()
	}
}

// next returns when the Endpoint wants to act, but at most end.
func (c *core) next(end time.Time) time.Time {
	if at := c.e.Timeout(); at.IsZero() || at.After(end) {
		return end
	} else if at.After(c.now) {
		return at
	}
	return c.now.Add(time.Millisecond)
}

func (c *core) held() int64 { return c.e.Held() }

func (c *core) rest(t testing.TB, before int64) {
	for end := c.now.Add(2 * time.Minute); c.now.Before(end); c.pump() {
		c.now = c.next(end)
	}
	require.Zero(t, c.e.Stats().Conns)
	require.Empty(t, c.conns)
	require.Equal(t, before, c.held(), "something is left")
}

// A realServer is an h3http.Server on a socket of 127.0.0.1.
type realServer struct {
	t       testing.TB
	web     *h3http.Server
	g       *loop.Group
	sockets []*net.UDPConn
	buf     []byte
}

func newRealServer(t *testing.T, edit func(*conn.EndpointConfig)) *realServer {
	return startServer(t, &h3http.Server{QUICConfig: quicConfig()}, edit)
}

// servePage answers requests once they have come whole.
func servePage(w http.ResponseWriter, r *http.Request) {
	if _, err := io.Copy(io.Discard, r.Body); err == nil {
		fmt.Fprint(w, page)
	}
}

// startServer starts one with options of its own.
func startServer(t *testing.T, s *h3http.Server, edit func(*conn.EndpointConfig)) *realServer {
	s.TLSConfig = conntest.ServerTLS()
	if s.Handler == nil {
		s.Handler = http.HandlerFunc(servePage)
	}
	cfg := s.LoopConfig()
	if edit != nil {
		edit(&cfg.Endpoint)
	}
	g, err := loop.Listen("udp", "127.0.0.1:0", 1, cfg)
	require.NoError(t, err)
	t.Cleanup(func() { g.Close() })
	return &realServer{t: t, web: s, g: g, buf: make([]byte, 65535)}
}

func (s *realServer) port() uint16 {
	c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(s.g.LocalAddr()))
	require.NoError(s.t, err)
	s.t.Cleanup(func() { c.Close() })
	s.sockets = append(s.sockets, c)
	return uint16(len(s.sockets) - 1)
}

func (s *realServer) write(b []byte, port uint16) {
	_, err := s.sockets[port].Write(b)
	require.NoError(s.t, err)
}

func (s *realServer) read(port uint16) ([]byte, bool) { return s.within(port, time.Second) }

func (s *realServer) poll(port uint16) ([]byte, bool) { return s.within(port, time.Millisecond) }

func (s *realServer) within(port uint16, d time.Duration) (b []byte, ok bool) {
	c := s.sockets[port]
	c.SetReadDeadline(time.Now().Add(d))
	n, err := c.Read(s.buf)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return nil, false
	}
	require.NoError(s.t, err)
	return append([]byte(nil), s.buf[:n]...), true
}

func (s *realServer) count(*meter) {} // what else the process does counts as well

func (s *realServer) held() int64 { return s.g.Stats().Held }

func (s *realServer) rest(t testing.TB, before int64) {
	waitForRest(t, s, before, func() int { return s.g.Stats().Conns }, 20*time.Millisecond)
}
