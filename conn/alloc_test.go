package conn

import (
	"testing"
	"time"
)

// Operations that allocate nothing once a connection has run for a while.

// An allocPair is two established connections. Datagrams go from one to the other, and the test
// itself allocates nothing for it.
type allocPair struct {
	t      testing.TB
	now    time.Time
	e      [2]*Endpoint // the client, the server
	c      [2]*Conn
	tc     *testConn
	buf    [2][]byte
	bursts int
}

func newAllocPair(t testing.TB, edit ...func(*testSetup)) *allocPair {
	t.Helper()
	edit = append([]func(*testSetup){func(s *testSetup) {
		for _, c := range []*Config{&s.conn, &s.peer} {
			*c = Config{TLS: c.TLS, MaxDatagramFrameSize: 1400, MaxIdleTimeout: -1}
		}
	}}, edit...)
	tc := startTestConn(t, false, edit...)
	tc.exchange(func() bool { return false })
	p := &allocPair{t: t, now: tc.now, tc: tc, e: [2]*Endpoint{tc.e, tc.peerE}, c: [2]*Conn{tc.c, tc.peer}}
	p.buf = [2][]byte{make([]byte, maxBurst), make([]byte, maxBurst)}
	if p.c[0].state != stateConfirmed || p.c[1].state != stateConfirmed {
		t.Fatal("the handshake failed")
	}
	return p
}

// datagram returns a burst of side i in the form in which the other side receives it.
func (p *allocPair) datagram(i int, b Burst) Datagram {
	d := Datagram{Data: p.buf[i][:b.N], SegmentSize: b.SegmentSize, Remote: p.tc.addr, Local: p.tc.peerAddr, ECN: b.ECN}
	if i == 1 {
		d.Remote, d.Local = p.tc.peerAddr, b.Remote
	} else if b.Local.IsValid() {
		d.Remote = b.Local
	}
	return d
}

// send lets side i send one burst, which the other receives.
func (p *allocPair) send(i int) (n int) {
	b, ok := p.e[i].Transmit(p.now, p.buf[i], 45)
	if !ok {
		return 0
	}
	p.e[1-i].Receive(p.now, p.datagram(i, b))
	p.bursts++
	return b.N
}

// pass lets a round trip of time pass, and delivers everything that both sides send.
func (p *allocPair) pass() {
	for i := range p.e {
		p.now = p.now.Add(testRTT / 2)
		p.e[i].HandleTimeout(p.now)
		for p.send(i) > 0 {
		}
		p.events()
	}
}

func (p *allocPair) events() {
	for _, e := range p.e {
		for _, ok := e.NextEvent(); ok; _, ok = e.NextEvent() {
		}
	}
}

// open opens a stream of the client and returns both ends.
func (p *allocPair) open() (client, server *Stream) {
	p.t.Helper()
	client, err := p.c[0].OpenStream(Bidi)
	if err != nil {
		p.t.Fatal(err)
	}
	client.Write([]byte("x"))
	p.pass()
	server = p.c[1].streams.all[client.ID()]
	if server == nil {
		p.t.Fatal("the stream did not arrive")
	}
	server.Read(make([]byte, 1))
	return client, server
}

// wantAllocs fails if f allocates more than want times on average, once it has run for a while.
// testing.AllocsPerRun rounds down, so 200 calls of f are one run for it.
func wantAllocs(t *testing.T, what string, want float64, f func()) {
	t.Helper()
	const runs = 200
	many := func() {
		for range runs {
			f()
		}
	}
	for range 4 { // rings and free lists grow to what they need
		many()
	}
	const noise = 0.02 // the runtime allocates now and then
	if got := testing.AllocsPerRun(1, many) / runs; got > want+noise {
		t.Errorf("%s allocates %v times, want %v", what, got, want)
	}
}

// TestAllocsOfTransfer: stream data in full bursts, read as it comes, and the acknowledgements that
// it causes.
func TestAllocsOfTransfer(t *testing.T) {
	p := newAllocPair(t)
	client, server := p.open()
	data, buf := make([]byte, 64<<10), make([]byte, 64<<10)
	full := 0
	wantAllocs(t, "a round trip of a transfer", 0, func() {
		for {
			if n, _ := client.Write(data); n == 0 {
				break
			}
		}
		p.now = p.now.Add(testRTT / 2)
		p.e[0].HandleTimeout(p.now)
		for range 8 {
			n := p.send(0)
			if n > 45*1400 {
				full++
			}
			for {
				if n, _ := server.Read(buf); n == 0 {
					break
				}
			}
		}
		p.pass()
	})
	if full < 100 {
		t.Errorf("%d bursts were full", full)
	}
}

// TestAllocsOfReceive: a data packet, and the acknowledgement that it causes.
func TestAllocsOfReceive(t *testing.T) {
	p := newAllocPair(t)
	client, server := p.open()
	data, buf := make([]byte, 1000), make([]byte, 4096)
	wantAllocs(t, "a data packet with its acknowledgement", 0, func() {
		client.Write(data)
		b, ok := p.e[0].Transmit(p.now, p.buf[0], 1)
		if !ok {
			t.Fatal("nothing to send")
		}
		p.e[1].Receive(p.now, p.datagram(0, b))
		server.Read(buf)
		p.now = p.now.Add(maxAckDelay)
		p.e[1].HandleTimeout(p.now)
		for {
			b, ok := p.e[1].Transmit(p.now, p.buf[1], 1)
			if !ok {
				break
			}
			p.e[0].Receive(p.now, p.datagram(1, b))
		}
		p.events()
		p.e[0].HandleTimeout(p.now)
	})
}

// TestAllocsOfDatagrams: both ways.
func TestAllocsOfDatagrams(t *testing.T) {
	p := newAllocPair(t)
	data := make([]byte, 1000)
	wantAllocs(t, "datagrams both ways", 0, func() {
		for i, c := range p.c {
			for range 20 {
				if _, err := c.SendDatagram(data, DatagramOptions{}); err != nil {
					t.Fatal(err)
				}
			}
			for p.send(i) > 0 {
			}
			for _, ok := p.c[1-i].ReceiveDatagram(); ok; _, ok = p.c[1-i].ReceiveDatagram() {
			}
		}
		p.pass()
	})
}

// TestAllocsOfRequests: a request and its response on a stream of their own, whose memory is that
// of an earlier one.
func TestAllocsOfRequests(t *testing.T) {
	p := newAllocPair(t)
	request, response, buf := make([]byte, 100), make([]byte, 500), make([]byte, 4096)
	var served int
	drain := func(s *Stream) (end bool) {
		for {
			n, err := s.Read(buf)
			if err != nil && err != ErrWouldBlock {
				return true
			}
			if n == 0 {
				return false
			}
		}
	}
	wantAllocs(t, "a request and its response", 0.99, func() {
		s, err := p.c[0].OpenStream(Bidi)
		if err != nil {
			t.Fatal(err)
		}
		s.Write(request)
		s.CloseWrite()
		for range 4 {
			for i, e := range p.e {
				p.now = p.now.Add(testRTT / 2)
				e.HandleTimeout(p.now)
				for p.send(i) > 0 {
				}
				for _, e := range p.e {
					for ev, ok := e.NextEvent(); ok; ev, ok = e.NextEvent() {
						if ev.Kind != EventStreamReadable || !drain(ev.Stream) {
							continue
						}
						if ev.Conn == p.c[1] {
							ev.Stream.Write(response)
							ev.Stream.CloseWrite()
							served++
						}
						ev.Stream.Release()
					}
				}
			}
		}
	})
	if n := len(p.c[0].streams.all) + len(p.c[1].streams.all); n > 20 || served < 400 {
		t.Errorf("%d requests were served, %d streams are open", served, n)
	}
}

// TestAllocsOfStreams: only writing and reading, in steady state.
func TestAllocsOfStreams(t *testing.T) {
	p := newAllocPair(t)
	client, server := p.open()
	data, buf := make([]byte, 300), make([]byte, 300)
	wantAllocs(t, "Write, Peek, Discard and Read", 0, func() {
		for i, s := range []*Stream{client, server} {
			s.Write(data)
			for p.send(i) > 0 {
			}
			other := []*Stream{server, client}[i]
			b, _ := other.Peek(100)
			other.Discard(len(b) / 2)
			for {
				if n, _ := other.Read(buf); n == 0 {
					break
				}
			}
		}
		p.pass()
	})
}

// TestAllocsOfGarbage: a packet that does not decrypt costs no allocation either.
func TestAllocsOfGarbage(t *testing.T) {
	p := newAllocPair(t)
	packet := append([]byte{0x41}, p.c[1].local.ids[0].id.bytes()...)
	packet = append(packet, make([]byte, 1000)...)
	b := make([]byte, len(packet))
	wantAllocs(t, "a packet that does not open", 0, func() {
		copy(b, packet)
		p.e[1].Receive(p.now, Datagram{Data: b, Remote: p.tc.addr, Local: p.tc.peerAddr})
	})
	wantAllocs(t, "a packet to nobody", 0, func() {
		copy(b, packet)
		b[3] ^= 1
		p.e[1].Receive(p.now, Datagram{Data: b, Remote: p.tc.addr, Local: p.tc.peerAddr})
		p.now = p.now.Add(time.Microsecond)
		for p.send(1) > 0 {
		}
	})
}
