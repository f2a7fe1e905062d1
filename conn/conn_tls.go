package conn

import (
	"crypto/tls"
	"errors"
	"time"

	"github.com/lazoquic/lazo/internal/keys"
	"github.com/lazoquic/lazo/internal/wire"
)

// spaceOf returns the packet number space that carries the CRYPTO data of a level.
func spaceOf(level tls.QUICEncryptionLevel) spaceID {
	switch level {
	case tls.QUICEncryptionLevelInitial:
		return spaceInitial
	case tls.QUICEncryptionLevelHandshake:
		return spaceHandshake
	}
	return spaceApp
}

// stepTLS gives TLS the CRYPTO data that is ready, unless TLS is at work. It is the one place that
// drives crypto/tls.
func (c *Conn) stepTLS() {
	for !c.closed && c.tls.work == nil && c.tls.q != nil {
		w := c.nextTLSWork()
		if w == nil {
			return
		}
		c.tls.work = w
		c.tls.begun = true
		if c.e.cfg.Offload != nil && w.long() {
			c.e.cfg.Offload(w) // RFC 9001, Section 4.1.4 [2]: packets are taken meanwhile
			return
		}
		if c.e.play == nil {
			w.Run()
		}
		c.completeTLS(w)
	}
}

// nextTLSWork returns the next step, nil if there is nothing to do.
func (c *Conn) nextTLSWork() *TLSWork {
	start := !c.tls.begun
	s := c.spaces[spaceOf(c.tls.level)]
	ready := s != nil && s.cryptoIn.Ready() > 0
	// A server has nothing to do before the ClientHello.
	if !c.tls.paused && !ready && (!start || c.server) {
		return nil
	}
	w := &TLSWork{conn: c, q: c.tls.q, ctx: c.tls.ctx, start: start, resume: c.tls.paused, params: c.tls.chosen}
	if c.server {
		w.choices, w.cfg, w.original = c.tls.params, c.cfg, c.versions.original
	}
	if c.server && c.tls.level == tls.QUICEncryptionLevelHandshake {
		opt := c.ticketOptions(c.tls.params[0])
		w.ticket = &opt
	}
	c.tls.paused = false
	if ready {
		b := make([]byte, s.cryptoIn.Ready())
		s.cryptoIn.Read(&c.chunks, b)
		if c.server {
			c.noteClientHello(b)
		}
		if c.tls.level == tls.QUICEncryptionLevelApplication {
			b, c.tls.unwanted = c.tls.post.take(b)
		} else {
			c.tls.unwanted = c.tls.messages.take(c.tls.level, b)
			if c.server && !c.tls.hello && c.tls.messages.n == 0 {
				c.tls.hello, w.begins = true, true
			}
		}
		w.data = cryptoData{level: c.tls.level, b: b}
	}
	w.done = make(chan struct{})
	c.tls.now = c.e.wall(c.e.now)
	return w
}

// Complete takes back work that [EndpointConfig.Offload] was given, after its Run. Work may come
// back in any order. Complete ignores the work of connections that have closed.
func (e *Endpoint) Complete(now time.Time, w *TLSWork) {
	c := w.conn
	e.rec.verb(callComplete, now, c.serial, flag(c.closed || c.tls.work != w))
	t := e.clock(now)
	if c.closed || c.tls.work != w {
		w.q.Close()
		return
	}
	c.completeTLS(w)
	if c.closed {
		return
	}
	c.stepTLS()
	c.replayWaiting(t)
	c.batchDone(t)
	c.wake()
}

// completeTLS handles the events and the error of a step.
func (c *Conn) completeTLS(w *TLSWork) {
	c.tls.work = nil
	c.e.rec.tls(w)
	c.e.play.tls(w)
	if err := c.tls.unwanted; err != nil {
		c.abort(err)
		return
	}
	for i := range w.events {
		if err := c.tlsEvent(&w.events[i]); err != nil {
			c.abort(err)
			return
		}
	}
	if w.err != nil {
		c.abort(c.tlsError(w.err))
		return
	}
	if c.tls.paused = w.paused; w.paused {
		c.tls.chosen = w.params
		return
	}
	if err := c.checkEarlyLimits(); err != nil {
		c.abort(err)
		return
	}
	c.noteTLSState()
	c.wake()
}

// noteTLSState remembers the state of the handshake once it is known, and lets go of crypto/tls
// when it is not needed any more.
func (c *Conn) noteTLSState() {
	t := &c.tls
	if t.q == nil {
		return
	}
	if c.server && t.state == nil || c.state != stateHandshake {
		s := t.live()
		if c.server && t.state == nil {
			if s.NegotiatedProtocol == "" {
				return // the ClientHello is not complete
			}
			c.eventOf(EventAccepted, 0)
		}
		if t.state == nil {
			t.state = new(tls.ConnectionState)
		}
		*t.state = s
	}
	if c.server && c.state != stateHandshake {
		// Nothing comes from a client after the handshake (RFC 9001, Section 4.4 and 6).
		t.close(nil)
	}
}

// tlsEvent handles one event of crypto/tls.
func (c *Conn) tlsEvent(ev *tls.QUICEvent) error {
	switch ev.Kind {
	case tls.QUICSetReadSecret:
		k, err := keys.New(c.secretVersion(ev.Level), ev.Suite, ev.Data)
		if err != nil {
			return err
		}
		if ev.Level == tls.QUICEncryptionLevelEarly {
			c.early.rx, c.early.accepted = k, true
			c.logEarlySecret(ev.Data)
			return nil
		}
		if old := c.spaces[spaceOf(c.tls.level)]; old != nil && old.cryptoIn.Ready()+old.cryptoIn.Gaps() > 0 {
			return errTLSBehind()
		}
		c.spaces[spaceOf(ev.Level)].rx = k
		c.tls.level = ev.Level
	case tls.QUICSetWriteSecret:
		k, err := keys.New(c.secretVersion(ev.Level), ev.Suite, ev.Data)
		if err != nil {
			return err
		}
		if ev.Level == tls.QUICEncryptionLevelEarly {
			c.early.tx, c.early.offered = k, true
			c.logEarlySecret(ev.Data)
			c.eventOnce(EventStreamsAvailable)
			return nil
		}
		if ev.Level == tls.QUICEncryptionLevelApplication {
			// RFC 9001, Section 4.9.3 [1], and RFC 9001, Section 5.6 [6]
			c.early.tx = nil
		}
		c.spaces[spaceOf(ev.Level)].tx = k
	case tls.QUICWriteData:
		// RFC 9001, Section 4 [1], and RFC 9001, Section 4.9 [1]: what is lost goes again in its
		// space.
		if sp := c.spaces[spaceOf(ev.Level)]; sp != nil {
			if !c.server {
				c.noteClientHello(ev.Data)
			}
			sp.cryptoOut.Append(&c.chunks, ev.Data)
		}
	case tls.QUICTransportParameters:
		return c.peerParams(ev.Data)
	case tls.QUICResumeSession:
		c.resumeSession(ev.SessionState)
	case tls.QUICRejectedEarlyData:
		c.rejectEarly()
	case tls.QUICStoreSession:
		c.storeSession(ev.SessionState)
	case tls.QUICHandshakeDone:
		return c.handshakeComplete()
	}
	return nil
}

// secretVersion returns the version whose labels derive keys at a level: 0-RTT packets keep the
// original one (RFC 9369, Section 4.1).
func (c *Conn) secretVersion(level tls.QUICEncryptionLevel) uint32 {
	if level == tls.QUICEncryptionLevelEarly {
		return c.versions.original
	}
	return c.version
}

// handshakeComplete is RFC 9001, Section 4.1.1.
// RFC 9000, Section 19.20 [1].
func (c *Conn) handshakeComplete() error {
	if !c.hasPeer {
		// missing_extension: RFC 9001, Section 8.2 [2]
		return violation(errCrypto+109, 0, "no transport parameters")
	}
	state := c.tls.live()
	if state.NegotiatedProtocol == "" && !c.cfg.NoALPN { // RFC 9000, Section 7 [2]
		// no_application_protocol: RFC 9001, Section 8.1 [2, 3]
		return violation(errCrypto+120, 0, "no application protocol")
	}
	c.state = stateComplete
	c.handshakeBy = 0
	c.memory.Release(handshakeCost)
	c.e.handshakes(c, -1)
	c.e.stats.Connected++
	c.path.validated = true // a client always, a server by the Finished of its client
	c.startMultipath()
	if c.server {
		// RFC 9001, Section 4.1.2 [1]: for a server complete is confirmed.
		c.control.handshakeDone = true
		c.control.any = true
		c.confirm()
		c.countEarly()
		c.sendNewToken(c.path.remote)
	}
	c.qlogParams(state.NegotiatedProtocol)
	c.eventOf(EventConnected, 0)
	if !c.server {
		c.eventOnce(EventStreamsAvailable)
	}
	return nil
}

// confirm is RFC 9001, Section 4.9.2 [1], and RFC 9001, Section 4.9.3 [2].
func (c *Conn) confirm() {
	if c.state == stateConfirmed {
		return
	}
	c.state = stateConfirmed
	c.dropSpace(spaceInitial)
	c.dropSpace(spaceHandshake)
	c.early.rx, c.early.tx, c.early.hello = nil, nil, nil
	c.versions.otherRx = nil
	if c.server {
		// The client knows the ID that we chose by now. Packets to the ID that it chose may be
		// under way.
		c.routes.retireID(c.firstDCID(), c.e.now.add(tidyAfter))
	}
	c.offerIDs()
	if c.multi != nil {
		c.multi.offer()
	}
	c.startECN()
	c.followPreferred()
}

// dropSpace discards the keys of a space and all that was in flight there (RFC 9001, Section 4.9;
// RFC 9002, Section 6.4).
func (c *Conn) dropSpace(id spaceID) {
	sp := c.spaces[id]
	if sp == nil {
		return
	}
	c.spaces[id] = nil
	// RFC 9002, Section 6.4 [1].
	sp.sent.discarded(nil) // an ACK frame may follow the frame that ended the space
	sp.cryptoIn.Reset(&c.chunks)
	sp.cryptoOut.Reset(&c.chunks)
	c.timeouts.restart() // RFC 9002, Section 6.2.2 [3]
	if id == spaceInitial {
		// the route of the client's first ID stays: a late Initial is not another connection
		c.token = nil
	}
}

// tlsError turns an error of crypto/tls into a connection error (RFC 9001, Section 4.8 [1]).
func (c *Conn) tlsError(err error) error {
	const alertUnexpectedMessage, alertInternalError = 10, 80
	code := uint64(errInternal)
	if alert, ok := errors.AsType[tls.AlertError](err); ok {
		if c.state != stateHandshake && alert == alertInternalError {
			// RFC 9001, Section 6 [2]: crypto/tls reports a KeyUpdate without its alert
			alert = alertUnexpectedMessage
		}
		code = errCrypto + uint64(alert)
	}
	return &TransportError{Code: code, Frame: wire.FrameCrypto, Err: err}
}

// initialKeys sets the keys of Initial packets (RFC 9001, Section 5.2).
func (c *Conn) initialKeys(dcid ConnID) {
	c.versions.secretID = dcid
	sp := c.spaces[spaceInitial]
	client, server := keys.Initial(c.version, dcid.bytes())
	if c.server {
		sp.rx, sp.tx = client, server
	} else {
		sp.rx, sp.tx = server, client
	}
}
