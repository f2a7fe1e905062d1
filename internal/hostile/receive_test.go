package hostile

import (
	"crypto/tls"
	"time"

	"github.com/lazoquic/lazo/internal/require"
	"github.com/lazoquic/lazo/internal/wire"
)

// wait takes answers until done, and fails if that never comes. It sends again what may be lost.
func (p *peer) wait(what string, done func() bool) {
	p.t.Helper()
	for tries := 0; !done(); {
		if b, ok := p.to.read(p.port); ok {
			p.receive(b)
			p.reply()
			continue
		}
		if tries++; tries > maxTries {
			p.t.Fatalf("the peer waits for %s in vain: closed %v, code %#x %q", what, p.seen.closed, p.seen.code, p.seen.reason)
		}
		for _, k := range p.keep {
			if p.tx[k.space] != nil {
				p.sendIn(k.space, k.frame)
			}
		}
	}
}

// maxTries is how often a peer sends again what it keeps. Each time target.read has waited for a
// while.
const maxTries = 60

// settle takes all answers that are there.
func (p *peer) settle() {
	for {
		b, ok := p.to.poll(p.port)
		if !ok {
			return
		}
		p.receive(b)
		p.reply()
	}
}

// drain counts all answers that ever come, and says nothing. On a socket it counts those that are
// there.
func (p *peer) drain() {
	next, end := p.to.poll, time.Time{}
	c, ok := p.to.(*core)
	if ok {
		next, end = p.to.read, c.now.Add(time.Minute)
	}
	for {
		b, more := next(p.port)
		p.answered += len(b)
		if !more && (!ok || c.now.After(end)) {
			return
		}
	}
}

// receive opens the packets of a datagram.
func (p *peer) receive(b []byte) {
	p.answered += len(b)
	for whole := b; len(b) > 0; {
		space, pnOff, end := app, 1+idLen, len(b)
		if wire.IsLong(b[0]) {
			h, ok := wire.ParseLong(b)
			if !ok || h.Version == 0 || h.Type == wire.TypeRetry {
				p.others = append(p.others, whole) // Version Negotiation or Retry
				return
			}
			if h.Type == wire.TypeHandshake {
				space = handshake
			} else {
				space = initial
			}
			if p.dcid == p.first {
				p.dcid = string(h.SCID)
			}
			pnOff, end = h.PNOff, h.End
		}
		if !p.open(space, b[:end], pnOff) {
			p.others = append(p.others, whole)
		}
		b = b[end:]
	}
}

// open opens a packet and takes its frames. It reports false if it has no keys for it.
func (p *peer) open(space int, b []byte, pnOff int) bool {
	rx := p.rx[space]
	if rx == nil {
		return false
	}
	b = append([]byte(nil), b...)
	pnLen, pn, ok := rx.Unprotect(b, pnOff)
	if !ok {
		return false
	}
	largest := int64(-1)
	if p.got[space].Len() > 0 {
		largest = int64(p.got[space].Max())
	}
	pn = wire.DecodePacketNumber(largest, pn, pnLen)
	payload, ok := rx.Open(b, pnOff+pnLen, pn)
	if !ok {
		return false
	}
	p.got[space].Add(pn, pn+1)
	for len(payload) > 0 {
		n := p.frame(space, payload)
		require.Positive(p.t, n, "frame %x", payload)
		payload = payload[n:]
	}
	return true
}

// frame takes a frame, and returns its length.
func (p *peer) frame(space int, b []byte) (n int) {
	typ, _ := wire.ParseVarint(b)
	p.seen.frames[typ]++
	if typ != wire.FrameAck && typ != wire.FrameAckECN && typ != wire.FramePadding && typ != wire.FrameConnectionClose && typ != wire.FrameApplicationClose {
		p.unanswered[space] = true
	}
	switch {
	case typ == wire.FramePadding, typ == wire.FramePing:
		return 1
	case typ == wire.FrameHandshakeDone:
		p.confirmed = true
		return 1
	case typ == wire.FrameImmediateAck:
		return 1
	case typ == wire.FrameAck, typ == wire.FrameAckECN:
		_, n = wire.ParseAck(b)
	case typ == wire.FrameCrypto:
		var off uint64
		var data []byte
		off, data, n = wire.ParseCrypto(b)
		p.takeCrypto(space, off, data)
	case typ == wire.FrameMaxStreamsBidi:
		p.seen.maxStreams, n = wire.ParseOne(b)
	case typ == wire.FrameResetStreamAt:
		var id, code uint64
		id, code, _, _, n = wire.ParseResetStreamAt(b)
		p.of(id).reset, p.of(id).resetCode = true, code
	case typ >= wire.FrameStream && typ < wire.FrameStream+8:
		var f wire.Stream
		f, n = wire.ParseStream(b)
		s := p.of(f.ID)
		s.data[f.Offset] = append([]byte(nil), f.Data...)
		s.fin = s.fin || f.Fin
	case typ == wire.FrameResetStream:
		var id, code uint64
		id, code, _, n = wire.ParseResetStream(b)
		p.of(id).reset, p.of(id).resetCode = true, code
	case typ == wire.FrameStopSending:
		var id, code uint64
		id, code, n = wire.ParseStopSending(b)
		p.of(id).stopped, p.of(id).stopCode = true, code
	case typ == wire.FrameConnectionClose, typ == wire.FrameApplicationClose:
		var reason []byte
		p.seen.closed = true
		p.seen.app, p.seen.code, _, reason, n = wire.ParseConnectionClose(b)
		p.seen.reason = string(reason)
	default:
		n = skip(typ, b)
	}
	return n
}

// skip returns the length of a frame that nobody looks at.
func skip(typ uint64, b []byte) (n int) {
	switch typ {
	case wire.FrameNewToken:
		_, n = wire.ParseNewToken(b)
	case wire.FrameMaxData, wire.FrameMaxStreamsUni, wire.FrameDataBlocked,
		wire.FrameStreamsBlockedBidi, wire.FrameStreamsBlockedUni, wire.FrameRetireConnectionID:
		_, n = wire.ParseOne(b)
	case wire.FrameMaxStreamData, wire.FrameStreamDataBlocked:
		_, _, n = wire.ParseTwo(b)
	case wire.FrameNewConnectionID:
		_, _, _, _, n = wire.ParseNewConnectionID(b)
	case wire.FramePathChallenge, wire.FramePathResponse:
		_, n = wire.ParsePath(b)
	case wire.FrameDatagram, wire.FrameDatagramLen:
		_, n = wire.ParseDatagram(b)
	}
	return n
}

func (p *peer) of(id uint64) *stream {
	s := p.seen.streams[id]
	if s == nil {
		s = &stream{data: make(map[uint64][]byte)}
		p.seen.streams[id] = s
	}
	return s
}

// text returns what came of a stream, up to the first gap.
func (s *stream) text() (all []byte) {
	for {
		d, ok := s.data[uint64(len(all))]
		if !ok || len(d) == 0 {
			return all
		}
		all = append(all, d...)
	}
}

// takeCrypto hands CRYPTO data to TLS, in order.
func (p *peer) takeCrypto(space int, off uint64, data []byte) {
	have := p.received[space]
	if off > have || off+uint64(len(data)) <= have {
		return // a gap, which is sent again, or nothing new
	}
	data = data[have-off:]
	p.received[space] += uint64(len(data))
	level := [...]tls.QUICEncryptionLevel{tls.QUICEncryptionLevelInitial, tls.QUICEncryptionLevelHandshake, tls.QUICEncryptionLevelApplication}
	if p.q.HandleData(level[space], data) == nil {
		sofar := len(p.keep)
		p.tls()
		for _, k := range p.keep[sofar:] {
			p.sendIn(k.space, k.frame)
		}
	}
}

// reply acknowledges what came.
func (p *peer) reply() {
	for space := range p.unanswered {
		if p.unanswered[space] && !p.mute && p.tx[space] != nil {
			p.unanswered[space] = false
			got := &p.got[space]
			ack, _ := wire.AppendAck(nil, 500, got.Len(), func(i int) (start, end uint64) { return got.At(i).Start, got.At(i).End }, 0, nil)
			p.sendIn(space, ack)
		}
	}
}

// connect completes the handshake.
func (p *peer) connect() {
	p.t.Helper()
	p.greet()
	p.wait("the end of the handshake", func() bool { return p.confirmed })
	p.forget()
}

// greet sends ClientHello.
func (p *peer) greet() {
	for _, k := range p.keep {
		p.sendIn(k.space, k.frame)
	}
}
