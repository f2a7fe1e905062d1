package conn

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn/congestion"
	"github.com/lazoquic/lazo/internal/wire"
)

// A costRow is the most expensive datagram of one kind.
type costRow struct {
	name   string
	frames []string // the names of the wire.Frame constants that the row stands for
	make   func(t *testing.T) *costCase
	closes bool // it ends the connection
	junk   bool // the datagram has no frames, or they are not read
}

// A costCase is an Endpoint in its most unfavourable state, and the datagram that comes next.
type costCase struct {
	e        *Endpoint
	now      time.Time
	datagram []byte
	from, to netip.AddrPort
	buf      []byte
}

// settle takes all events, and everything that the Endpoint sends.
func (x *costCase) settle() {
	for _, ok := x.e.NextEvent(); ok; _, ok = x.e.NextEvent() {
	}
	for _, ok := x.e.Transmit(x.now, x.buf, 64); ok; _, ok = x.e.Transmit(x.now, x.buf, 64) {
	}
}

// costRoom is how many bytes of frames fit into a datagram that every path carries.
const costRoom = minMTU - 1 - defaultIDLen - 4 - 16

// fill returns as many frames as fit into a packet. fillBytes does the same for frames in encoded
// form.
func fill(frame func(i int) frame) []byte {
	return fillBytes(func(i int) []byte { return frame(i).append(nil) })
}

func fillBytes(frame func(i int) []byte) (all []byte) {
	for i := 0; ; i++ {
		f := frame(i)
		if len(all)+len(f) > costRoom {
			return all
		}
		all = append(all, f...)
	}
}

// of makes the case of a 1-RTT packet with these frames.
func (tc *testConn) of(frames []byte) *costCase {
	tc.collect()
	return &costCase{
		e: tc.e, now: tc.now, buf: tc.buf, from: tc.peerAddr, to: tc.addr,
		datagram: tc.seal(testPacket{space: spaceApp, payload: frames}),
	}
}

// costStreams is how many streams of each kind a peer has opened in the states below.
const costStreams = 100

// costConn returns a connection with many streams of all kinds. Their received data has gaps, and
// their own data waits for credit. The connection remembers everything that a peer can make it
// remember.
func costConn(t *testing.T, server bool, edit ...func(*testSetup)) *testConn {
	edit = append([]func(*testSetup){func(s *testSetup) {
		s.conn.MaxDatagramFrameSize, s.peer.MaxDatagramFrameSize = 1500, 1500
		s.conn.DisableAckFrequency, s.peer.DisableAckFrequency = false, false
		s.peer.InitialMaxStreamData, s.peer.InitialMaxData = 1000, 50_000
	}}, edit...)
	tc := newTestConn(t, server, edit...)
	for _, d := range []Dir{Bidi, Uni} {
		for n := range uint64(costStreams) {
			tc.write(streamFrame(tc.theirs(d, n), 10, "x"), streamFrame(tc.theirs(d, n), 20, "x"))
			if s := tc.c.streams.all[tc.theirs(d, n)]; d == Bidi && s != nil {
				s.Write(make([]byte, 3000))
			}
		}
		for range costStreams {
			if s, err := tc.c.OpenStream(d); err == nil {
				s.Write(make([]byte, 3000))
			}
		}
	}
	for i := range 70 { // gaps in the packet numbers
		tc.send(testPacket{space: spaceApp, frames: []frame{pingFrame()}, skip: 1 + uint64(i)%2})
	}
	for range 300 {
		tc.write(datagramFrame("x"))
	}
	tc.collect()
	return tc
}

// row makes the row of a packet full of frames, on a connection of costConn.
func row(name string, server bool, make func(tc *testConn, i int) frame, names ...string) costRow {
	if len(names) == 0 {
		names = []string{name}
	}
	return costRow{name: name, frames: names, make: func(t *testing.T) *costCase {
		tc := costConn(t, server)
		return tc.of(fill(func(i int) frame { return make(tc, i) }))
	}}
}

// closing makes the row of a packet that ends such a connection.
func closing(name string, make func(i int) frame) costRow {
	r := row(name, true, func(_ *testConn, i int) frame { return make(i) })
	r.closes = true
	return r
}

// costRows has all rows. The row of PING comes first.
var costRows = []costRow{
	row("PING", true, func(*testConn, int) frame { return pingFrame() }, "Ping"),
	row("Padding", true, func(_ *testConn, i int) frame {
		if i%2 == 0 {
			return paddingFrames(1)
		}
		return pingFrame()
	}),
	row("ResetStream", true, func(tc *testConn, i int) frame {
		return resetStreamFrame(tc.theirs(Dir(i/costStreams%2), uint64(i%costStreams)), 1, 21)
	}),
	{name: "ResetStreamAt", frames: []string{"ResetStreamAt"}, make: func(t *testing.T) *costCase {
		tc := costConn(t, true)
		return tc.of(fillBytes(func(i int) []byte {
			return wire.AppendResetStreamAt(nil, uint64(tc.theirs(Dir(i/costStreams%2), uint64(i%costStreams))), 1, 21, 21)
		}))
	}},
	row("StopSending", true, func(tc *testConn, i int) frame {
		return stopSendingFrame(tc.theirs(Bidi, uint64(i%costStreams)), 1)
	}),
	// each frame is for another stream, or for another chunk of it
	row("Stream", true, func(tc *testConn, i int) frame {
		return streamFrame(tc.theirs(Dir(i/costStreams%2), uint64(i%costStreams)), 5000*(1+uint64(i/(2*costStreams))), "x")
	}),
	row("streams that are opened", true, func(tc *testConn, i int) frame {
		return streamFrame(tc.theirs(Uni, uint64(99-i%costStreams)), 30+2*uint64(i), "x")
	}),
	{name: "gaps in a stream", make: func(t *testing.T) *costCase {
		tc := costConn(t, true)
		id := tc.theirs(Uni, 0)
		for i := uint64(0); i < 900; {
			tc.send(testPacket{space: spaceApp, payload: fill(func(int) frame { i++; return streamFrame(id, 1000+4*i, "x") })})
		}
		return tc.of(fill(func(i int) frame { return streamFrame(id, 1002+4*uint64(i), "x") }))
	}},
	row("MaxData", true, func(_ *testConn, i int) frame { return maxDataFrame(60_000 + uint64(i)) }),
	row("MaxStreamData", true, func(tc *testConn, i int) frame {
		return maxStreamDataFrame(tc.theirs(Bidi, uint64(i%costStreams)), 1001+uint64(i))
	}),
	row("MaxStreamsBidi", true, func(_ *testConn, i int) frame { return maxStreamsFrame(Bidi, 200+uint64(i)) }),
	row("MaxStreamsUni", true, func(_ *testConn, i int) frame { return maxStreamsFrame(Uni, 200+uint64(i)) }),
	row("DataBlocked", true, func(_ *testConn, i int) frame { return dataBlockedFrame(uint64(i)) }),
	row("StreamDataBlocked", true, func(tc *testConn, i int) frame {
		return streamBlockedFrame(tc.theirs(Bidi, uint64(i%costStreams)), 1)
	}),
	row("StreamsBlockedBidi", true, func(_ *testConn, i int) frame { return streamsBlockedFrame(Bidi, 1) }),
	row("StreamsBlockedUni", true, func(_ *testConn, i int) frame { return streamsBlockedFrame(Uni, 1) }),
	row("NewConnectionID", true, func(_ *testConn, i int) frame {
		return newIDFrame(uint64(4+min(i, 8)), uint64(3+min(i, 8)), fmt.Sprintf("%08d", min(i, 8)))
	}),
	row("RetireConnectionID", true, func(tc *testConn, i int) frame { return retireIDFrame(uint64(1 + i%3)) }),
	{name: "RETIRE_CONNECTION_ID of IDs that come to be", closes: true, make: func(t *testing.T) *costCase {
		tc := costConn(t, true)
		return tc.of(fill(func(i int) frame { return retireIDFrame(uint64(1 + i)) }))
	}},
	row("PathChallenge", true, func(_ *testConn, i int) frame { return challengeFrame(fmt.Sprintf("%08d", i)) }),
	closing("PathResponse", func(i int) frame { return responseFrame(fmt.Sprintf("%08d", i)) }),
	closing("ConnectionClose", func(i int) frame { return closeFrame(1, 0, "bye") }),
	closing("ApplicationClose", func(i int) frame { return appCloseFrame(1, "bye") }),
	row("HandshakeDone", false, func(*testConn, int) frame { return handshakeDoneFrame() }),
	row("ImmediateAck", true, func(*testConn, int) frame { return immediateAckFrame() }),
	row("AckFrequency", true, func(_ *testConn, i int) frame { return ackFrequencyFrame(uint64(i), 1, 25_000, 1) }),
	row("Datagram", true, func(*testConn, int) frame { return datagramFrame("") }, "Datagram", "DatagramLen"),
	{name: "NewToken", frames: []string{"NewToken"}, make: func(t *testing.T) *costCase {
		tc := costConn(t, false, func(s *testSetup) { s.conn.Tokens = new(lastToken) })
		return tc.of(fill(func(i int) frame { return newTokenFrame("x") }))
	}},
	pathRow("PathAck", func(i int) frame { return pathAckFrame(0, 0) }, "PathAckECN"),
	pathRow("PathAbandon", func(i int) frame { return pathFrame(wire.FramePathAbandon, uint64(1+i%3), 1) }),
	pathRow("PathStatusBackup", func(i int) frame {
		return pathFrame(wire.FramePathStatusBackup, uint64(i%4), uint64(i))
	}, "PathStatusAvailable"),
	pathRow("PathNewConnectionID", func(i int) frame {
		seq := uint64(2 + min(i, 8))
		return newPathIDFrame(uint64(1+i%3), seq, seq, fmt.Sprintf("%06d%02d", min(i, 8), i%3))
	}),
	pathRow("PathRetireConnectionID", func(i int) frame {
		return pathFrame(wire.FramePathRetireConnectionID, uint64(1+i%3), uint64(i/3%2))
	}),
	pathRow("MaxPathID", func(i int) frame { return pathFrame(wire.FrameMaxPathID, uint64(4+i), 0) }),
	pathRow("PathsBlocked", func(i int) frame { return pathFrame(wire.FramePathsBlocked, 3, 0) }),
	pathRow("PathCIDsBlocked", func(i int) frame { return pathFrame(wire.FramePathCIDsBlocked, uint64(1+i%3), 0) }),
	{name: "Ack", frames: []string{"Ack", "AckECN"}, make: func(t *testing.T) *costCase { return ackCase(t, 1) }},
	{name: "ACK of many ranges", make: func(t *testing.T) *costCase { return ackCase(t, 50) }},
	{name: "ACK of one range for each packet", make: func(t *testing.T) *costCase { return ackCase(t, 500) }},
	{name: "Crypto", frames: []string{"Crypto"}, make: func(t *testing.T) *costCase {
		tc := handshakeServer(t)
		const gaps = maxCryptoGaps - 4
		for off := uint64(2); off < 2+4*gaps; off += 4 {
			tc.writeIn(spaceHandshake, cryptoFrame(off, "x"))
		}
		x := &costCase{e: tc.e, now: tc.now, buf: tc.buf, from: tc.peerAddr, to: tc.addr}
		x.datagram = tc.seal(testPacket{space: spaceHandshake, payload: fill(func(i int) frame {
			return cryptoFrame(2+4*uint64(i%gaps), "xx")
		})})
		return x
	}},
	{name: "Handshake packets that wait", junk: true, make: func(t *testing.T) *costCase {
		l, _ := newLoneServer(t, func(c *EndpointConfig) { c.Offload = func(*TLSWork) {} })
		l.feed(clientInitial(rawServerID, rawClientID, nil, l.hello()), elsewhere(1))
		junk := rawPacket{typ: wire.TypeHandshake, dcid: rawServerID, scid: rawClientID, tx: l.first.spaces[spaceInitial].rx, payload: make([]byte, 450)}
		for range 2 * maxWaiting {
			l.feed(junk.seal(), elsewhere(1))
		}
		if n := len(l.first.waiting.list); n < maxWaiting*3/4 {
			t.Fatalf("%d packets wait", n)
		}
		junk.payload = junk.payload[:1]
		return &costCase{e: l.Endpoint, now: hour0(), buf: l.buf, from: elsewhere(1), to: l.addr, datagram: junk.seal()}
	}},
	strangerRow("Version Negotiation", true, func(l *lone) []byte { return longHeader(0x1a2a3a4a, rawServerID, rawClientID, 1200) }),
	strangerRow("stateless reset", true, func(*lone) []byte { return append([]byte{0x40}, make([]byte, 1200)...) }),
	strangerRow("Initial with a token of noise", true, func(l *lone) []byte {
		return clientInitial(rawServerID, rawClientID, make([]byte, maxTokenLen), pingFrame())
	}),
	strangerRow("Initial full of CRYPTO", false, func(l *lone) []byte {
		return rawPacket{
			typ: wire.TypeInitial, dcid: rawServerID, scid: rawClientID, tx: l.first.spaces[spaceInitial].rx, size: minMTU, pn: 1,
			payload: fill(func(i int) frame { return cryptoFrame(1000+4*uint64(i%60), "x") })[:1140],
		}.seal()
	}),
	strangerRow("coalesced junk", true, func(l *lone) (b []byte) {
		tx := l.first.spaces[spaceInitial].rx // the receiver has not got its keys yet
		for len(b) < 1150 {
			b = append(b, rawPacket{typ: wire.TypeHandshake, dcid: rawServerID, scid: rawClientID, tx: tx, payload: make([]byte, 4)}.seal()...)
		}
		return b
	}),
	{name: "undecryptable", junk: true, make: func(t *testing.T) *costCase {
		x := costConn(t, true).of(fill(func(int) frame { return pingFrame() }))
		x.datagram[len(x.datagram)-1] ^= 1
		return x
	}},
	{name: "undecryptable of the next key phase", junk: true, make: func(t *testing.T) *costCase {
		tc := costConn(t, true)
		x := tc.of(nil)
		x.datagram = tc.seal(testPacket{space: spaceApp, phase: true, payload: fill(func(int) frame { return pingFrame() })})
		return x
	}},
	{name: "Retry", junk: true, make: func(t *testing.T) *costCase {
		l, _, retry := retryStory(t)
		return &costCase{e: l.Endpoint, now: hour0(), buf: l.buf, from: elsewhere(1), to: l.addr, datagram: retry("new server ID", "a token")}
	}},
}

// pathRow makes the row of a frame of multipath, to a server that has four lanes.
func pathRow(name string, f func(i int) frame, more ...string) costRow {
	return costRow{name: name, frames: append(more, name), make: func(t *testing.T) *costCase {
		return costConn(t, true, withPaths).of(fill(f))
	}}
}

// strangerRow makes the row of a datagram to a server that has one handshake in progress.
func strangerRow(name string, junk bool, datagram func(l *lone) []byte) costRow {
	return costRow{name: name, junk: junk, make: func(t *testing.T) *costCase {
		var works []*TLSWork
		l, _ := newLoneServer(t, func(c *EndpointConfig) { c.Offload = func(w *TLSWork) { works = append(works, w) } })
		l.feed(clientInitial(rawServerID, rawClientID, nil, l.hello()), elsewhere(1))
		return &costCase{e: l.Endpoint, now: hour0(), buf: l.buf, from: elsewhere(2), to: l.addr, datagram: datagram(l)}
	}}
}

// ackCase makes the case of ACK frames with so many ranges, and thousands of packets in flight.
func ackCase(t *testing.T, ranges int) *costCase {
	tc := newTestConn(t, true, func(s *testSetup) {
		s.conn.Congestion = func(congestion.Params) congestion.Controller { return new(wideController) }
		s.peer.InitialMaxStreamData, s.peer.InitialMaxData = 1<<30, 1<<30
	})
	first := tc.c.spaces[spaceApp].sent.next
	s := tc.open(Uni)
	for range 20 {
		s.WriteShared(make([]byte, 200<<10))
		tc.collect()
	}
	last := tc.c.spaces[spaceApp].sent.next - 1
	if last-first < 2000 {
		t.Fatalf("%d packets are in flight", last-first)
	}
	at := last
	return tc.of(fill(func(i int) frame {
		text := ""
		for n := 0; n < ranges && at > first+2; n++ {
			text += fmt.Sprint(at) + " "
			at -= 2
		}
		if text == "" {
			return pingFrame()
		}
		if i%2 == 1 {
			return ackECNFrame(text, 0, 0, 0)
		}
		return ackFrame(text)
	}))
}

// A lastToken is a TokenCache that keeps one token.
type lastToken struct{ token []byte }

func (l *lastToken) TakeToken(string) []byte     { return nil }
func (l *lastToken) PutToken(_ string, b []byte) { l.token = b }
