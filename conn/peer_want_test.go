package conn

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/lazoquic/lazo/internal/keys"
	"github.com/lazoquic/lazo/internal/wire"
)

// collect takes the events of the Endpoint and everything that it wants to send.
func (tc *testConn) collect() {
	tc.t.Helper()
	tc.collectEvents()
	tc.keepKeys()
	for _, d := range drainEndpoint(tc.e, tc.now, tc.buf) {
		if by := tc.others[d.burst.Remote]; by != nil {
			by.inbox = append(by.inbox, d.data)
			continue
		}
		tc.decode(&d)
		if d.burst.Remote == tc.left {
			tc.onLeft = append(tc.onLeft, d.packets...)
			continue
		}
		tc.datagrams = append(tc.datagrams, d)
		tc.queue = append(tc.queue, d.packets...)
	}
	tc.collectEvents()
	if tc.c != nil {
		checkConn(tc.t, tc.c, &tc.books)
	}
}

func (tc *testConn) collectEvents() {
	for ev, ok := tc.e.NextEvent(); ok; ev, ok = tc.e.NextEvent() {
		if tc.c == nil || ev.Conn == tc.c {
			tc.events = append(tc.events, ev)
		}
	}
}

// checkConn checks what always holds.
func checkConn(t testing.TB, c *Conn, books *LedgerCheck) {
	t.Helper()
	if c.closed {
		return
	}
	if err := books.Check(c); err != nil {
		t.Fatal(err)
	}
	f := &c.flow
	var highest uint64
	for _, s := range c.streams.all {
		highest += s.highest
	}
	if f.received > f.recvMax || f.consumed > f.received || highest > f.received {
		t.Fatalf("flow control: received %d of %d allowed, consumed %d, streams have %d", f.received, f.recvMax, f.consumed, highest)
	}
	if f.sent > f.sendMax {
		t.Fatalf("flow control: sent %d, the peer allows %d", f.sent, f.sendMax)
	}
}

// decode opens the packets of a datagram.
// RFC 9000, Section 12.4 [1].
func (tc *testConn) decode(d *seenDatagram) {
	for b := append([]byte(nil), d.data...); len(b) > 0; {
		p, n := tc.decodePacket(b)
		if p == nil {
			tc.undecoded = append(tc.undecoded, b)
			return
		}
		if len(p.frames) == 0 && p.typ != PacketVersionNegotiation && p.typ != PacketRetry {
			tc.t.Errorf("%v has no frame", p)
		}
		p.burst = d.burst
		d.packets = append(d.packets, p)
		b = b[n:]
	}
}

func (tc *testConn) decodePacket(b []byte) (*seenPacket, int) {
	p := &seenPacket{typ: Packet1RTT, space: spaceApp}
	pnOff, end := 0, len(b)
	if wire.IsLong(b[0]) {
		if version, _, _, ok := wire.ParseInvariant(b); ok && version == 0 {
			return &seenPacket{typ: PacketVersionNegotiation, size: len(b)}, len(b)
		}
		h, ok := wire.ParseLong(b)
		if !ok {
			return nil, 0
		}
		p.header, p.dcid, pnOff, end = h, h.DCID, h.PNOff, h.End
		switch h.Type {
		case wire.TypeRetry:
			p.typ, p.size = PacketRetry, len(b)
			return p, len(b)
		case wire.TypeInitial:
			p.typ, p.space = PacketInitial, spaceInitial
		default:
			p.typ, p.space = PacketHandshake, spaceHandshake
		}
	} else {
		if tc.peer == nil {
			return nil, 0
		}
		pnOff = 1 + int(tc.peer.local.ids[0].id.n)
		if len(b) < pnOff {
			return nil, 0
		}
		p.dcid = b[1:pnOff]
	}
	rx := tc.rx[p.space]
	if rx == nil {
		return nil, 0
	}
	pnLen, truncated, ok := rx.Unprotect(b[:end], pnOff)
	if !ok {
		return nil, 0
	}
	p.first, p.size = b[0], end
	p.pn = wire.DecodePacketNumber(tc.largest[p.space], truncated, pnLen)
	payload, ok := tc.openPayload(rx, b[:end], pnOff+pnLen, p)
	if !ok {
		return nil, 0
	}
	tc.largest[p.space] = max(tc.largest[p.space], int64(p.pn))
	tc.got[p.space].Add(p.pn, p.pn+1)
	for len(payload) > 0 {
		f, n := parseFrame(payload)
		if n <= 0 {
			tc.t.Fatalf("the Conn sent a malformed frame: %x", payload)
		}
		p.frames = append(p.frames, f)
		payload = payload[n:]
	}
	if len(p.frames) == 0 {
		tc.t.Fatal("the Conn sent a packet without frames")
	}
	return p, end
}

// openPayload decrypts a packet with the keys of its phase.
func (tc *testConn) openPayload(rx *keys.Keys, b []byte, hdrLen int, p *seenPacket) ([]byte, bool) {
	if p.space != spaceApp || wire.KeyPhase(b[0]) == tc.rxPhase {
		return rx.Open(b, hdrLen, p.pn)
	}
	next, err := rx.Next()
	if err != nil {
		return nil, false
	}
	payload, ok := next.Open(b, hdrLen, p.pn)
	if ok {
		tc.rx[spaceApp], tc.rxPhase = next, !tc.rxPhase
	}
	return payload, ok
}

// nextFrame returns the next frame that is not ignored, and its packet.
func (tc *testConn) nextFrame() (frame, bool) {
	for {
		for len(tc.unread) > 0 {
			f := tc.unread[0]
			tc.unread = tc.unread[1:]
			if !tc.ignored[f.typ] {
				return f, true
			}
		}
		if len(tc.queue) == 0 {
			return frame{}, false
		}
		tc.current, tc.queue = tc.queue[0], tc.queue[1:]
		tc.unread = tc.current.frames
	}
}

// ignore makes the test skip frames of these types.
func (tc *testConn) ignore(types ...uint64) {
	for _, typ := range types {
		tc.ignored[typ] = true
	}
}

// wantFrame wants the next frame to be f, and returns its packet.
func (tc *testConn) wantFrame(why string, f frame) *seenPacket {
	tc.t.Helper()
	tc.collect()
	got, ok := tc.nextFrame()
	if !ok {
		tc.t.Fatalf("%s:\nwant %v\ngot nothing", why, f)
	}
	if got != f {
		tc.t.Fatalf("%s:\nwant %v\ngot  %v\nin %v", why, f, got, tc.current)
	}
	return tc.current
}

// wantType wants the next frame to be of a type.
func (tc *testConn) wantType(why string, typ uint64) (frame, *seenPacket) {
	tc.t.Helper()
	tc.collect()
	got, ok := tc.nextFrame()
	if !ok {
		tc.t.Fatalf("%s:\nwant %s\ngot nothing", why, frameName(typ))
	}
	if got.typ != typ {
		tc.t.Fatalf("%s:\nwant %s\ngot  %v\nin %v", why, frameName(typ), got, tc.current)
	}
	return got, tc.current
}

// wantIdle wants no frame that the test has not looked at.
func (tc *testConn) wantIdle(why string) {
	tc.t.Helper()
	tc.collect()
	if f, ok := tc.nextFrame(); ok {
		tc.t.Fatalf("%s:\nwant no frame\ngot %v\nin %v", why, f, tc.current)
	}
	if len(tc.undecoded) > 0 {
		tc.t.Fatalf("%s: the Conn sent what is no packet: %x", why, tc.undecoded[0])
	}
}

// wantPacket wants the next packet to be in the space and to have exactly these frames. It leaves
// ignored frames aside, and a packet that the test has looked at already.
func (tc *testConn) wantPacket(why string, space spaceID, frames ...frame) *seenPacket {
	tc.t.Helper()
	tc.collect()
	tc.unread = nil
	if len(tc.queue) == 0 {
		tc.t.Fatalf("%s:\nwant packet with %v\ngot nothing", why, frames)
	}
	var got []frame
	tc.current, tc.queue = tc.queue[0], tc.queue[1:]
	for _, f := range tc.current.frames {
		if !tc.ignored[f.typ] {
			got = append(got, f)
		}
	}
	if tc.current.space != space || fmt.Sprint(got) != fmt.Sprint(frames) {
		tc.t.Fatalf("%s:\nwant packet with %v\ngot  %v", why, frames, tc.current)
	}
	return tc.current
}

// flush throws away everything that the Conn has sent so far.
func (tc *testConn) flush() {
	tc.t.Helper()
	tc.collect()
	tc.queue, tc.unread, tc.datagrams, tc.undecoded = nil, nil, nil, nil
}

// bytesOut returns how many bytes the Conn has sent to an address since the last flush.
func (tc *testConn) bytesOut(to netip.AddrPort) (n int) {
	tc.t.Helper()
	tc.collect()
	for _, d := range tc.datagrams {
		if d.burst.Remote == to {
			n += len(d.data)
		}
	}
	return n
}

// String tells what is in the packet.
func (p *seenPacket) String() string {
	names := [...]string{"", "Initial", "0-RTT", "Handshake", "Retry", "Version Negotiation", "1-RTT"}
	s := make([]string, len(p.frames))
	for i, f := range p.frames {
		s[i] = f.String()
	}
	return fmt.Sprintf("%s packet %d [%s]", names[p.typ], p.pn, strings.Join(s, "; "))
}

// wantEvent wants the next event to be of a kind.
func (tc *testConn) wantEvent(why string, kind EventKind) Event {
	tc.t.Helper()
	tc.collect()
	if len(tc.events) == 0 {
		tc.t.Fatalf("%s: want event %d, got none", why, kind)
	}
	ev := tc.events[0]
	tc.events = tc.events[1:]
	if ev.Kind != kind {
		tc.t.Fatalf("%s: want event %d, got %+v", why, kind, ev)
	}
	return ev
}

// wantNoEvent wants no event.
func (tc *testConn) wantNoEvent(why string) {
	tc.t.Helper()
	tc.collect()
	if len(tc.events) > 0 {
		tc.t.Fatalf("%s: want no event, got %+v", why, tc.events[0])
	}
}

// hasEvent reports whether an event of the kind is among those that the test has not looked at.
func (tc *testConn) hasEvent(kind EventKind) bool {
	tc.collect()
	for _, ev := range tc.events {
		if ev.Kind == kind {
			return true
		}
	}
	return false
}

// wantClosed wants the Conn to have closed with a transport error. Both the peer and the
// application must have been told.
func (tc *testConn) wantClosed(why string, code uint64) {
	tc.t.Helper()
	tc.collect()
	err := tc.wantEnd(why)
	te, ok := errors.AsType[*TransportError](err)
	if !ok || te.Code != code || te.Remote {
		tc.t.Fatalf("%s: want %s, the application was told: %v", why, codeName(code), err)
	}
	for {
		f, ok := tc.nextFrame()
		if !ok {
			tc.t.Fatalf("%s: the peer was not told", why)
		}
		if f.typ == wire.FrameConnectionClose {
			if f.v[0] != code {
				tc.t.Fatalf("%s: want %s, the peer was told %s", why, codeName(code), codeName(f.v[0]))
			}
			return
		}
	}
}

// wantEnd wants the last event to be EventClosed, and returns its error.
func (tc *testConn) wantEnd(why string) error {
	tc.t.Helper()
	tc.collect()
	if tc.c == nil {
		tc.t.Fatalf("%s: there is no Conn", why)
	}
	if !tc.c.closed {
		tc.t.Fatalf("%s: the Conn is still there", why)
	}
	n := len(tc.events)
	if n == 0 || tc.events[n-1].Kind != EventClosed {
		tc.t.Fatalf("%s: EventClosed is not the last event: %+v", why, tc.events)
	}
	err := tc.events[n-1].Err
	if err == nil || err != tc.c.Err() {
		tc.t.Fatalf("%s: EventClosed says %v, Err says %v", why, err, tc.c.Err())
	}
	return err
}

// wantOpen wants the Conn not to have closed.
func (tc *testConn) wantOpen(why string) {
	tc.t.Helper()
	tc.collect()
	if tc.c.closed {
		tc.t.Fatalf("%s: the Conn has closed: %v", why, tc.c.err)
	}
}

// giveBack has the Conn doze now, if it would do so later. Its timer for that is off then: tests of
// other timers are not about it.
func (tc *testConn) giveBack() {
	tc.t.Helper()
	tc.collect()
	c := tc.c
	if c.closed {
		return
	}
	if c.dozeAt = 0; c.mayDoze() {
		c.giveBack()
	}
	c.rest(tc.e.now)
}

// timer returns how long it is until the next timer.
func (tc *testConn) timer() time.Duration {
	tc.t.Helper()
	tc.giveBack()
	at := tc.e.Timeout()
	if at.IsZero() {
		tc.t.Fatal("no timer is set")
	}
	return at.Sub(tc.now)
}

// wantTimer wants the next timer to be due in d.
func (tc *testConn) wantTimer(why string, d time.Duration) {
	tc.t.Helper()
	if got := tc.timer(); got != d {
		tc.t.Fatalf("%s: the timer is due in %v, want %v", why, got, d)
	}
}

// advanceToTimer lets time pass until the next timer, and runs it.
func (tc *testConn) advanceToTimer() {
	tc.t.Helper()
	tc.now = tc.now.Add(max(tc.timer(), 0))
	tc.e.HandleTimeout(tc.now)
}

// advance lets time pass, and runs the timers that are due.
func (tc *testConn) advance(d time.Duration) {
	tc.t.Helper()
	tc.collect()
	for end, idle := tc.now.Add(d), 0; ; idle++ {
		at := tc.e.Timeout()
		if at.IsZero() || at.After(end) {
			tc.now = end
			break
		}
		if at.After(tc.now) {
			tc.now, idle = at, 0
		} else if idle > 20 {
			tc.t.Fatalf("a timer is due again and again without time passing: %s", tc.c.dueNow())
		}
		tc.e.HandleTimeout(tc.now)
		tc.collect()
	}
	tc.e.HandleTimeout(tc.now)
	tc.collect()
}

// ackAll acknowledges all 1-RTT packets that came, except those that the test has lost.
func (tc *testConn) ackAll() { tc.t.Helper(); tc.ackAllIn(spaceApp) }

func (tc *testConn) ackAllIn(space spaceID) {
	tc.t.Helper()
	tc.collect()
	tc.writeIn(space, tc.ackOf(space))
}

// ackOf returns an ACK frame for all packets of a space that came.
func (tc *testConn) ackOf(space spaceID) frame {
	tc.t.Helper()
	got := &tc.got[space]
	if got.Len() == 0 {
		tc.t.Fatal("nothing came that could be acknowledged")
	}
	var s []string
	for i := got.Len() - 1; i >= 0; i-- {
		s = append(s, rangeString(got.At(i).Start, got.At(i).End-1))
	}
	return ackFrame(strings.Join(s, " "))
}

// lose treats a packet of the Conn as if it had never come.
func (tc *testConn) lose(p *seenPacket) { tc.got[p.space].Remove(p.pn, p.pn+1) }

// ping makes the Conn send a PING, or other data if it has some.
func (tc *testConn) ping() { tc.t.Helper(); tc.pingIn(spaceApp) }

func (tc *testConn) pingIn(space spaceID) {
	tc.t.Helper()
	tc.c.spaces[space].probes = 1
	tc.c.wake()
	tc.collect()
}

// lostByGap loses a packet: it acknowledges three later ones.
func (tc *testConn) lostByGap(p *seenPacket) {
	tc.t.Helper()
	tc.lose(p)
	tc.flush()
	for range packetThreshold {
		tc.ping()
	}
	tc.flush()
	tc.ackAll()
}

// lostByPTO loses a packet and everything that was sent with it: it lets the probe timeout pass.
func (tc *testConn) lostByPTO(p *seenPacket) {
	tc.t.Helper()
	tc.lose(p)
	tc.flush()
	before := tc.c.stats.PTOs
	for range 5 {
		tc.advanceToTimer()
		if tc.c.stats.PTOs > before {
			return
		}
		tc.flush()
	}
	tc.t.Fatal("the probe timeout does not come")
}

// losses runs a test once for each of the two ways to lose a packet.
func losses(t *testing.T, f func(t *testing.T, lost func(*testConn, *seenPacket))) {
	t.Helper()
	t.Run("by ACK gap", func(t *testing.T) { f(t, (*testConn).lostByGap) })
	t.Run("by PTO", func(t *testing.T) { f(t, (*testConn).lostByPTO) })
}

// elsewhere returns the nth of the addresses to which the peer may move.
func elsewhere(n int) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 1, byte(n >> 8), byte(n)}), 7000)
}

// dueNow names the deadlines of the Conn that are due.
func (c *Conn) dueNow() string {
	if c == nil || c.closed {
		return "of a closed Conn"
	}
	now := c.e.now
	pto, space := c.ptoDeadline(now)
	s := ""
	for name, at := range map[string]instant{
		"loss": c.lossDeadline(now), "application": c.userTimer, "pacing": c.paceAt, "handshake": c.handshakeBy, "idle": c.idleDeadline(),
		"keep-alive": c.keepAliveDeadline(), "keys": c.keys.dropAt, "challenge": c.path.challenge.until, "pto": pto,
	} {
		if at != 0 && at <= now {
			s += fmt.Sprintf("%s (%v ago) ", name, now.sub(at))
		}
	}
	return fmt.Sprintf("%s; space %d, window %d, in flight %d, allowance %d", s, space, c.path.cc.Window(), c.path.inFlight, c.path.allowance())
}
