package conn

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"fmt"

	"github.com/lazoquic/lazo/internal/keys"
	"github.com/lazoquic/lazo/internal/wire"
)

// 0-RTT (RFC 9000, Section 4.6; RFC 9001, Section 4.6): what both sides remember with a TLS
// session, and how it is judged.

// sessionTag begins what this package stores with a session.
const sessionTag = "lazo0rt2"

// A sessionMemo is what is stored with a TLS session. A server's goes into the ticket, a client's
// into its cache.
type sessionMemo struct {
	version uint32   // of the connection that the session comes from
	nonce   TicketID // server
	params  []byte   // transport parameters of the server
	data    []byte   // TicketData of the application
}

func (m *sessionMemo) encode() []byte {
	b := binary.BigEndian.AppendUint32([]byte(sessionTag), m.version)
	b = append(b, m.nonce[:]...)
	b = wire.AppendVarint(b, uint64(len(m.params)))
	b = append(b, m.params...)
	return append(b, m.data...)
}

// findMemo returns what this package stored with the session.
func findMemo(s *tls.SessionState) (m sessionMemo, index int, ok bool) {
	for i, b := range s.Extra {
		b, found := bytes.CutPrefix(b, []byte(sessionTag))
		if !found || len(b) < 4+ticketIDLen {
			continue
		}
		m.version, b = binary.BigEndian.Uint32(b), b[4:]
		m.nonce = TicketID(b)
		b = b[ticketIDLen:]
		n, k := wire.ParseVarint(b)
		if k == 0 || n > uint64(len(b)-k) {
			continue
		}
		m.params, m.data = b[k:k+int(n)], b[k+int(n):]
		return m, i, true
	}
	return sessionMemo{}, 0, false
}

// An earlyState is the 0-RTT side of a connection.
type earlyState struct {
	rx, tx   *keys.Keys   // 0-RTT keys
	memo     sessionMemo  // of the session that is resumed
	resumed  bool         // a session with a memo is resumed
	limits   *wire.Params // client: remembered, and in use until the server's arrive
	offered  bool         // client: in the ClientHello
	came     bool         // server: packets of it, whether they were taken or not
	rejected uint64       // client: packets below this number carried early data that was rejected
	accepted bool
	sessions []*tls.SessionState // client: stored for later connections, newest last
	data     []byte              // client: of SetTicketData
	hello    []byte              // the ClientHello up to its random
}

// maxSessions bounds the sessions that SetTicketData reaches.
const maxSessions = 4

// EarlyData reports whether a client may send early data: a session allows it, and the handshake is
// not complete. Then OpenStream works at once after Dial.
func (c *Conn) EarlyData() bool { return c.early.tx != nil && !c.closed }

// EarlyDataAccepted reports whether the server took early data. A client knows it once
// [Conn.HandshakeComplete] reports true.
func (c *Conn) EarlyDataAccepted() bool { return c.early.accepted }

// countEarly counts what became of the early data of a client, once the handshake is complete.
func (c *Conn) countEarly() {
	switch {
	case c.early.accepted:
		c.e.stats.EarlyDataAccepted++
	case c.early.came:
		c.e.stats.EarlyDataRejected++
	}
}

// offersEarly reports whether 0-RTT is enabled on this side.
func (c *Conn) offersEarly() bool { return c.cfg.Enable0RTT } // RFC 9001, Section 5.6 [1]

// resumeSession decides whether the session that is resumed may carry early data.
func (c *Conn) resumeSession(s *tls.SessionState) {
	m, _, ok := findMemo(s)
	if !ok || !s.EarlyData {
		s.EarlyData = false
		if ok {
			c.early.memo, c.early.resumed = m, true
		}
		return
	}
	c.early.memo, c.early.resumed = m, true
	if !c.offersEarly() {
		s.EarlyData = false
		return
	}
	p, err := wire.ParseParams(m.params, true)
	switch {
	case err != nil:
		s.EarlyData = false
	case !c.server:
		c.early.limits = &p
		c.useEarlyLimits(&p)
	default:
		s.EarlyData = c.takesEarly(&p, &m)
	}
}

// takesEarly reports whether a server accepts early data: its limits are not below those that the
// client remembers (RFC 9000, Section 7.4.1), the application agrees, and the ticket was not used
// here before. The present limits hold for early data too. Section 7.4.1 lets a server close if a
// client exceeds the limits that it remembers. Such a client does no harm, and a check would need a
// second set of limits.
// RFC 9000, Section 7.4.1 [5, 6, 8].
func (c *Conn) takesEarly(p *wire.Params, m *sessionMemo) bool {
	cfg := c.cfg
	if p.MaxData > uint64(cfg.InitialMaxData) || p.MaxStreamDataBidiRemote > uint64(cfg.InitialMaxStreamData) ||
		p.MaxStreamDataBidiLocal > uint64(cfg.InitialMaxStreamData) || p.MaxStreamDataUni > uint64(cfg.InitialMaxStreamData) ||
		p.MaxStreamsBidi > uint64(cfg.InitialMaxStreamsBidi) || p.MaxStreamsUni > uint64(cfg.InitialMaxStreamsUni) ||
		p.MaxDatagramFrame > uint64(cfg.MaxDatagramFrameSize) || p.ActiveConnIDLimit > activeConnIDs {
		return false // RFC 9221, Section 3 [6]
	}
	if f := cfg.AcceptEarlyData; f != nil {
		ok := f(m.data)
		if c.e.rec.call(tapeEarly, flag(ok)); !ok {
			return false
		}
	}
	return c.takeTicket(m.nonce)
}

// ticketUses is how often a server with Config.ReuseTickets takes early data with one ticket.
const ticketUses = 8

// takeTicket reports whether early data may be taken with a ticket now. crypto/tls asks before it
// has authenticated the ClientHello, so anybody who has seen the ticket gets here with any number
// of them. They use up the ticket, and do not push out what is known of others.
func (c *Conn) takeTicket(id TicketID) bool {
	take := c.e.cfg.TakeTicket
	if !c.cfg.ReuseTickets {
		return take(id)
	}
	for k := range ticketUses {
		use := id
		use[0] ^= byte(k)
		if take(use) {
			return take(c.ticketUse(id))
		}
	}
	return false
}

// ticketUse returns an ID of the use of a ticket with this ClientHello. Whoever replays a
// ClientHello cannot change its random: the ticket's key authenticates it (RFC 8446, Section
// 4.2.11.2).
func (c *Conn) ticketUse(id TicketID) TicketID {
	for i, b := range c.early.random() {
		id[i%ticketIDLen] ^= b
	}
	return id
}

// useEarlyLimits puts remembered transport parameters in force. Those that must not be remembered
// keep their defaults (RFC 9000, Section 7.4.1).
// RFC 9000, Section 7.4.1 [3].
func (c *Conn) useEarlyLimits(p *wire.Params) {
	c.peer = sessionParams(p)
	c.flow.sendMax = p.MaxData
	c.streams.peerLimit = [2]uint64{p.MaxStreamsBidi, p.MaxStreamsUni}
}

// checkEarlyLimits makes sure that a server which took early data did not lower its limits
// (RFC 9000, Section 7.4.1).
func (c *Conn) checkEarlyLimits() error {
	old, p := c.early.limits, &c.peer
	if old == nil || !c.early.offered || !c.hasPeer || c.early.accepted {
		return nil
	}
	c.early.accepted = true
	c.e.stats.EarlyDataAccepted++
	if p.MaxData < old.MaxData || p.MaxStreamDataBidiLocal < old.MaxStreamDataBidiLocal ||
		p.MaxStreamDataBidiRemote < old.MaxStreamDataBidiRemote || p.MaxStreamDataUni < old.MaxStreamDataUni ||
		p.MaxStreamsBidi < old.MaxStreamsBidi || p.MaxStreamsUni < old.MaxStreamsUni ||
		p.MaxDatagramFrame < old.MaxDatagramFrame || p.ActiveConnIDLimit < old.ActiveConnIDLimit ||
		old.ResetStreamAt && !p.ResetStreamAt {
		// RFC 9221, Section 3 [7]
		return violation(errProtocolViolation, 0, "limits are below those of the session that was resumed")
	}
	return nil
}

// rejectEarly voids what was sent as early data, and ends it (RFC 9001, Section 4.6.2 [3]; RFC
// 9001, Section 5.6 [3]).
func (c *Conn) rejectEarly() {
	if c.early.tx == nil {
		return
	}
	c.early.tx, c.early.limits = nil, nil
	c.e.stats.EarlyDataRejected++
	c.early.rejected = c.spaces[spaceApp].sent.next // 1-RTT packets follow
	c.spaces[spaceApp].sent.discarded(func(r *record) {
		if r.kind == recDatagram {
			c.datagramFate(r, EventDatagramLost) // nothing else of it is left to note
		}
	})
	for _, s := range c.streams.all {
		c.streams.send.remove(s)
		s.in.Reset(&c.chunks)
		s.out.Reset(&c.chunks)
		s.gen++
		c.memory.Release(streamCost)
		s.flags |= flagVoid | flagReleased
	}
	t := &c.streams
	limit, window, peer := t.limit, t.window, t.peerLimit
	*t = streamSet{server: t.server, limit: limit, window: window, peerLimit: peer}
	c.flow.sent, c.flow.blockedAt, c.flow.limited, c.flow.reserve = 0, 0, false, 0
	c.eventOf(EventEarlyDataRejected, 0)
}

// acksRejected reports whether an ACK frame acknowledges a packet whose early data was rejected. A
// server must not process such packets (RFC 9001, Section 4.6.2 [2]).
func (c *Conn) acksRejected(f *wire.Ack) bool {
	if c.early.rejected == 0 {
		return false
	}
	ranges := f.Ranges()
	for r, ok := ranges.Next(); ok; r, ok = ranges.Next() {
		if r.Smallest < c.early.rejected {
			return true
		}
	}
	return false
}

// ticketOptions is what a server puts into its session tickets.
func (c *Conn) ticketOptions(params []byte) tls.QUICSessionTicketOptions {
	m := sessionMemo{version: c.version, params: params, data: c.cfg.TicketData}
	c.e.random(m.nonce[:])
	return tls.QUICSessionTicketOptions{EarlyData: c.cfg.Enable0RTT, Extra: [][]byte{m.encode()}}
}

// storeSession stores a session of the server's for later connections.
func (c *Conn) storeSession(s *tls.SessionState) {
	if len(c.early.sessions) == maxSessions {
		c.early.sessions = append(c.early.sessions[:0], c.early.sessions[1:]...)
	}
	c.early.sessions = append(c.early.sessions, s)
	c.writeSession(s)
}

// writeSession puts a session with its memo into the TLS session cache.
func (c *Conn) writeSession(s *tls.SessionState) {
	p := sessionParams(&c.peer)
	m := sessionMemo{version: c.version, params: wire.AppendParams(nil, &p, 0), data: c.early.data}
	if _, i, ok := findMemo(s); ok {
		s.Extra[i] = m.encode()
	} else {
		s.Extra = append(s.Extra, m.encode())
	}
	if c.e.play == nil {
		c.tls.q.StoreSession(s) // fails only on servers
	}
}

// sessionParams returns the transport parameters that are remembered (RFC 9000, Section 7.4.1).
// RFC 9000, Section 7.4.1 [2, 4]; RFC 9000, Section 9.6.2 [5].
// draft-ietf-quic-multipath-21, Section 2.1 [6].
func sessionParams(p *wire.Params) wire.Params {
	d := wire.DefaultParams()
	d.MaxData, d.MaxDatagramFrame, d.ActiveConnIDLimit = p.MaxData, p.MaxDatagramFrame, p.ActiveConnIDLimit
	d.MaxStreamDataBidiLocal, d.MaxStreamDataBidiRemote = p.MaxStreamDataBidiLocal, p.MaxStreamDataBidiRemote
	d.MaxStreamDataUni, d.MaxStreamsBidi, d.MaxStreamsUni = p.MaxStreamDataUni, p.MaxStreamsBidi, p.MaxStreamsUni
	d.ResetStreamAt = p.ResetStreamAt // draft-ietf-quic-reliable-stream-reset, Section 3
	return d
}

// TicketData returns what SetTicketData stored with the session that this client connection
// resumes, for example the peer's settings. It returns nil if no session is resumed, and on a
// server. The slice must not be changed.
func (c *Conn) TicketData() []byte {
	if c.server || !c.early.resumed || len(c.early.memo.data) == 0 {
		return nil
	}
	return c.early.memo.data
}

// SetTicketData stores a copy of b in the TLS session cache with the sessions
// of this connection, earlier ones too. Clients only; servers have [Config.TicketData].
func (c *Conn) SetTicketData(b []byte) {
	c.e.rec.bytes(callSetTicketData, b, c.serial)
	if c.server || c.closed {
		return
	}
	c.early.data = bytes.Clone(b)
	for _, s := range c.early.sessions {
		c.writeSession(s)
	}
}

// logEarlySecret writes the secret of early data to the key log, which crypto/tls does not.
func (c *Conn) logEarlySecret(secret []byte) {
	w := c.cfg.TLS.KeyLogWriter
	random := c.early.random()
	if w == nil || random == nil {
		return
	}
	fmt.Fprintf(w, "CLIENT_EARLY_TRAFFIC_SECRET %x %x\n", random, secret)
}

// Where the random of a ClientHello is: behind type, length and version (RFC 8446, Section 4.1.2).
const randomAt, randomLen = 6, 32

// noteClientHello remembers the beginning of a ClientHello. It comes in pieces of any length.
func (c *Conn) noteClientHello(b []byte) {
	if want := randomAt + randomLen - len(c.early.hello); want > 0 && c.cfg.Enable0RTT {
		c.early.hello = append(c.early.hello, b[:min(want, len(b))]...)
	}
}

// random returns the random of the ClientHello, or nil if that has not come so far.
func (s *earlyState) random() []byte {
	if len(s.hello) < randomAt+randomLen {
		return nil
	}
	return s.hello[randomAt:]
}
