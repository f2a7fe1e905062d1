package conn

import (
	"github.com/lazoquic/lazo/internal/keys"
	"github.com/lazoquic/lazo/internal/wire"
)

// minClientDCID is the length of the shortest ID that a client may choose for a server (RFC 9000,
// Section 7.2).
const minClientDCID = 8

// admit decides about an Initial that belongs to no connection (RFC 9000, Sections 5.2.2 and 8.1).
func (e *Endpoint) admit(now instant, a *arrival, h wire.Long) *Conn {
	if e.cfg.Server == nil {
		e.stats.DroppedUnroutable++
		return nil
	}
	// RFC 9000, Section 14.1: a server must discard Initials in smaller datagrams.
	// RFC 9000, Section 14 [4]; RFC 9000, Section 14.1 [3]
	if len(a.data) < minMTU || !e.cfg.Server.takesFirst(a.data[0]) {
		e.stats.DroppedMalformed++
		return nil
	}
	dcid, _ := ConnIDFromSlice(h.DCID)
	in := AdmissionRequest{
		Time: e.wall(now), Local: a.local, Remote: a.remote,
		DCID: dcid, Version: h.Version, Pending: e.accepting,
	}
	tok := e.tokens.open(h.Token, e.wall(now), a.remote)
	if tok.kind == TokenNewToken && tok.version != h.Version { // RFC 9369, Section 5 [2]
		tok = token{}
	}
	in.Token = tok.kind
	if tok.retryInvalid {
		// RFC 9000, Section 8.1.2: the client can do nothing about a Retry token that is not valid.
		return e.refuse(a, h, errInvalidToken, "invalid token") // RFC 9000, Section 8.1.2 [2]
	}
	if tok.kind == TokenRetry && !tok.retrySCID.equal(h.DCID) {
		return e.refuse(a, h, errInvalidToken, "invalid token")
	}
	// RFC 9000, Section 7.2: only an ID that was ours, from a Retry packet, may be shorter.
	// RFC 9000, Section 7.2 [1].
	if len(h.DCID) < minClientDCID && tok.kind != TokenRetry || len(h.DCID) == 0 {
		e.stats.DroppedMalformed++
		return nil
	}
	admission := e.admission(in)
	if admission == AdmissionAccept && !e.mayHoldConn() {
		// A client that has proved its address tries again. Asking the others to prove theirs costs
		// nothing.
		if admission = AdmissionRetry; in.Token == TokenRetry {
			admission = AdmissionIgnore
		}
	}
	if in.Token == TokenNone {
		e.early.off = admission != AdmissionAccept
	}
	switch admission {
	case AdmissionAccept:
	case AdmissionRetry:
		if in.Token != TokenRetry {
			return e.answerRetry(now, a, h)
		}
	case AdmissionRefuse:
		return e.refuse(a, h, errConnectionRefused, "")
	default:
		e.stats.Ignored++
		return nil
	}
	s, err := e.served.choose(e.cfg.ConfigForClient, in)
	if err != nil {
		return e.refuse(a, h, errConnectionRefused, "")
	}
	return e.accept(now, a, h, dcid, tok, s)
}

// admission asks the application, or applies the default.
func (e *Endpoint) admission(in AdmissionRequest) Admission {
	switch {
	case e.stopped:
		return AdmissionRefuse
	case e.cfg.Admit != nil:
		return e.cfg.Admit(in)
	}
	switch {
	case in.Pending >= 4*e.cfg.MaxHandshakes:
		return AdmissionIgnore
	case in.Pending >= e.cfg.MaxHandshakes && in.Token == TokenNone:
		return AdmissionRetry
	}
	return AdmissionAccept
}

// accept creates a server connection, unless its first packet does not authenticate.
func (e *Endpoint) accept(now instant, a *arrival, h wire.Long, dcid ConnID, tok token, s *served) *Conn {
	if !s.cfg.takesFirst(a.data[0]) {
		e.stats.DroppedMalformed++
		return nil
	}
	rx, tx := keys.Initial(h.Version, h.DCID)
	// A packet that was not made for this ID creates no state. It is opened on a copy, because the
	// connection will open it again.
	if !e.authentic(rx, a.data[:h.End], h.PNOff) {
		e.stats.DroppedUndecryptable++
		return nil
	}
	c := e.newServer(now, a, h, dcid, tok, s)
	if c == nil {
		return nil
	}
	c.spaces[spaceInitial].rx, c.spaces[spaceInitial].tx = rx, tx
	e.stats.Accepted++
	switch tok.kind {
	case TokenRetry:
		e.stats.AcceptedRetry++
	case TokenNewToken:
		e.stats.AcceptedNewToken++
	}
	c.receive(now, a)
	e.takeEarly(now, c, dcid, a.remote)
	return c
}

// authentic reports whether the first packet of a connection opens. It leaves the packet as it was.
func (e *Endpoint) authentic(rx *keys.Keys, pkt []byte, pnOff int) bool {
	buf := e.buffers.get(len(pkt))
	defer e.buffers.put(buf)
	b := append(buf[:0], pkt...)
	pnLen, truncated, ok := rx.Unprotect(b, pnOff)
	if !ok {
		return false
	}
	_, ok = rx.Open(b, pnOff+pnLen, wire.DecodePacketNumber(-1, truncated, pnLen))
	return ok
}
