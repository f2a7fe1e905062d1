package conn_test

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/conntest"
)

// An earlyRun is a client that connects again and again to one server, and the results.
type earlyRun struct {
	t       *testing.T
	n       *simulation
	server  *conntest.Node
	client  *conntest.Node
	cfg     *conn.Config
	got     map[string]bool // words that the server read, and whether they were early
	done    map[string]bool // words that it read after the handshake was complete
	rejects int
}

func newEarlyRun(t *testing.T, server *conn.Config) *earlyRun {
	rnd := conntest.Seed(t, 1)
	r := &earlyRun{t: t, n: simulate(t, 1), got: map[string]bool{}, done: map[string]bool{}}
	r.n.Default = conntest.Link{Delay: 25 * time.Millisecond}
	r.server = r.n.Add("10.0.0.1:443", &conn.EndpointConfig{Server: server, Rand: rnd})
	r.server.OnEvent = r.serve
	r.client = r.n.Add("10.0.0.2:5000", &conn.EndpointConfig{Rand: rnd})
	r.cfg = conntest.ClientConfig()
	r.cfg.Enable0RTT = true
	r.cfg.TLS = r.cfg.TLS.Clone()
	r.cfg.TLS.ClientSessionCache = tls.NewLRUClientSessionCache(8)
	return r
}

func (r *earlyRun) serve(_ time.Time, ev conn.Event) {
	if ev.Kind != conn.EventStreamReadable {
		return
	}
	for {
		b, err := ev.Stream.Peek(1)
		if len(b) > 0 {
			r.got[string(b)] = ev.Stream.Early()
			r.done[string(b)] = ev.Conn.HandshakeComplete()
			ev.Stream.Discard(len(b))
		}
		if err == io.EOF {
			ev.Stream.Release()
		}
		if err != nil {
			return
		}
	}
}

// connect dials and sends a word as early as it can.
func (r *earlyRun) connect(word string) *conn.Conn {
	r.t.Helper()
	c, err := r.client.Dial(r.n.Now(), conn.Target{Remote: r.server.Addr}, r.cfg)
	if err != nil {
		r.t.Fatal(err)
	}
	say := func() bool {
		s, err := c.OpenStream(conn.Uni)
		if err != nil {
			return false
		}
		s.Write([]byte(word))
		s.CloseWrite()
		return true
	}
	said := say()
	r.client.OnEvent = func(_ time.Time, ev conn.Event) {
		switch ev.Kind {
		case conn.EventEarlyDataRejected:
			r.rejects++
			said = false
		case conn.EventConnected:
			if !said {
				said = say()
			}
		}
	}
	r.n.RunFor(time.Second)
	if !c.HandshakeComplete() {
		r.t.Fatal("no handshake")
	}
	return c
}

func (r *earlyRun) want(word string, early bool) {
	r.t.Helper()
	e, ok := r.got[word]
	if !ok {
		r.t.Fatalf("the server did not read %q", word)
	}
	if e != early {
		r.t.Errorf("%q: early = %t, want %t", word, e, early)
	}
	if r.done[word] == early {
		r.t.Errorf("%q: read with the handshake complete = %t", word, !early)
	}
}

// wantCounted checks what both sides count of early data.
func (r *earlyRun) wantCounted(accepted, rejected uint64) {
	r.t.Helper()
	for _, n := range []*conntest.Node{r.client, r.server} {
		if s := n.Stats(); s.EarlyDataAccepted != accepted || s.EarlyDataRejected != rejected {
			r.t.Errorf("EarlyDataAccepted = %d, EarlyDataRejected = %d", s.EarlyDataAccepted, s.EarlyDataRejected)
		}
	}
}

// "Endpoints that accept 0-RTT [...] can receive application data before the handshake is complete"
// RFC 9001, Section 4.6.
// RFC 9000, Section 7.4.1 [7]; RFC 9000, Section 13.2.6 [3].
func TestEarlyDataAccepted(t *testing.T) {
	cfg := conntest.ServerConfig()
	cfg.Enable0RTT = true
	r := newEarlyRun(t, cfg)
	c := r.connect("first")
	c.SetTicketData([]byte("settings"))
	c.Close(0, "")
	r.want("first", false)
	c = r.connect("second")
	r.want("second", true)
	if !c.EarlyDataAccepted() {
		t.Error("the client does not know that its early data was accepted")
	}
	for sc := range r.server.Conns() {
		if !sc.EarlyDataAccepted() {
			t.Error("the server does not know that it accepted early data")
		}
	}
	if got := c.TicketData(); !bytes.Equal(got, []byte("settings")) {
		t.Errorf("TicketData = %q", got)
	}
	if r.rejects != 0 {
		t.Errorf("%d rejections", r.rejects)
	}
	r.wantCounted(1, 0)
}

// TestEarlyDataRejected: a server reads nothing of early data that it rejects, and the client
// resets all streams (RFC 9001, Section 4.6.2 [1, 3]; RFC 9001, Section 5.6 [3]).
func TestEarlyDataRejected(t *testing.T) {
	cfg := conntest.ServerConfig()
	cfg.Enable0RTT = true
	accept := false
	cfg.TicketData = []byte("v1")
	cfg.AcceptEarlyData = func(b []byte) bool { return accept && string(b) == "v1" }
	cfg.MaxDatagramFrameSize = 1200
	r := newEarlyRun(t, cfg)
	r.connect("first").Close(0, "")
	c, err := r.client.Dial(r.n.Now(), conn.Target{Remote: r.server.Addr}, r.cfg)
	if err != nil {
		t.Fatal(err)
	}
	s, err := c.OpenStream(conn.Uni)
	if err != nil {
		t.Fatal(err)
	}
	s.Write([]byte("early"))
	datagram, err := c.SendDatagram([]byte("early"), conn.DatagramOptions{Notify: true})
	if err != nil {
		t.Fatal(err)
	}
	rejected, lost := false, []uint64(nil)
	r.client.OnEvent = func(_ time.Time, ev conn.Event) {
		rejected = rejected || ev.Kind == conn.EventEarlyDataRejected
		if ev.Kind == conn.EventDatagramLost {
			lost = append(lost, ev.ID)
		}
	}
	r.n.RunFor(time.Second)
	if len(lost) != 1 || lost[0] != datagram {
		t.Errorf("datagrams lost: %v, want %d", lost, datagram)
	}
	if !rejected || !c.HandshakeComplete() || c.EarlyDataAccepted() {
		t.Fatalf("rejected %t, handshake %t", rejected, c.HandshakeComplete())
	}
	r.wantCounted(0, 1)
	if _, err := s.Write(nil); !errors.Is(err, conn.ErrEarlyDataRejected) {
		t.Errorf("Write = %v", err)
	}
	if err := s.CloseWrite(); !errors.Is(err, conn.ErrEarlyDataRejected) {
		t.Errorf("CloseWrite = %v", err)
	}
	s.Reset(1) // no frame of this stream may reach the server, which does not know it
	s.StopSending(1)
	s.SetPriority(conn.Priority{Urgency: 1})
	s.Release()
	r.n.RunFor(time.Second)
	if err := c.Err(); err != nil {
		t.Fatal(err)
	}
	if _, ok := r.got["early"]; ok {
		t.Error("the server read rejected data")
	}
	s, err = c.OpenStream(conn.Uni)
	if err != nil {
		t.Fatal(err)
	}
	s.Write([]byte("again"))
	s.CloseWrite()
	r.n.RunFor(time.Second)
	r.want("again", false)
	c.Close(0, "")
	accept = true
	r.connect("accepted")
	r.want("accepted", true)
}

// The filter of tickets bounds replay (RFC 8446, Section 8; RFC 9001, Section 9.2 [1]): one ticket
// carries early data once.
func TestEarlyDataTicketUsedOnce(t *testing.T) {
	cfg := conntest.ServerConfig()
	cfg.Enable0RTT = true
	r := newEarlyRun(t, cfg)
	r.connect("first").Close(0, "")
	replay := &onceCache{ClientSessionCache: r.cfg.TLS.ClientSessionCache}
	r.cfg.TLS.ClientSessionCache = replay
	r.connect("second").Close(0, "")
	r.want("second", true)
	r.connect("third").Close(0, "")
	r.want("third", false)
	if r.rejects != 1 {
		t.Errorf("%d rejections, want 1", r.rejects)
	}
}

// TestReuseTickets: with Config.ReuseTickets a client that has no new ticket sends early data with
// the old one again (RFC 8446, Section 8.2).
func TestReuseTickets(t *testing.T) {
	cfg := conntest.ServerConfig()
	cfg.Enable0RTT, cfg.ReuseTickets = true, true
	r := newEarlyRun(t, cfg)
	r.connect("first").Close(0, "")
	r.cfg.TLS.ClientSessionCache = &onceCache{ClientSessionCache: r.cfg.TLS.ClientSessionCache}
	for _, word := range []string{"second", "third", "fourth"} {
		r.connect(word).Close(0, "")
		r.want(word, true)
	}
	r.wantCounted(3, 0)
}

// A onceCache returns the first session again and again.
type onceCache struct {
	tls.ClientSessionCache
	s *tls.ClientSessionState
}

func (c *onceCache) Get(key string) (*tls.ClientSessionState, bool) {
	if c.s == nil {
		c.s, _ = c.ClientSessionCache.Get(key)
	}
	return c.s, c.s != nil
}

func (c *onceCache) Put(string, *tls.ClientSessionState) {}
