package conn

import (
	"context"
	"crypto/tls"
	"slices"
	"time"

	"github.com/lazoquic/lazo/internal/growstack"
	"github.com/lazoquic/lazo/internal/wire"
)

// A TLSWork is one step of a TLS handshake: see [EndpointConfig.Offload].
type TLSWork struct {
	conn     *Conn
	q        *tls.QUICConn
	ctx      context.Context
	start    bool
	begins   bool                          // server: it has the end of the first ClientHello
	resume   bool                          // go on after a QUICResumeSession event
	paused   bool                          // at such an event: the Endpoint decides
	ticket   *tls.QUICSessionTicketOptions // server
	params   []byte                        // server: of the version that is chosen
	choices  [][]byte                      // server: for each of cfg.Versions
	cfg      *Config                       // server: read only
	original uint32                        // version of the first packet
	data     cryptoData
	events   []tls.QUICEvent // of the step, with copies of their data
	copies   []byte          // memory of these copies, as far as it is in use
	err      error
	done     chan struct{} // closed at the end of Run
}

// cryptoData is what goes to TLS at one level.
type cryptoData struct {
	level tls.QUICEncryptionLevel
	b     []byte
}

// long reports whether the step may take long. A client makes its ClientHello before it goes on. It
// takes session tickets in the order of packets: what comes next may end the connection, and the
// tickets with it.
func (w *TLSWork) long() bool {
	return w.conn.server || !w.start && !w.resume && w.data.level != tls.QUICEncryptionLevelApplication
}

// Begins reports whether the step is the first one for the whole ClientHello of a new connection.
// That is most of a server's work for a handshake. Where more clients come than the machine can
// serve, such steps should wait for all others: then handshakes that have begun come to an end.
func (w *TLSWork) Begins() bool { return w.begins }

// Ended reports whether the connection has ended meanwhile, so that Run only cleans up. It
// may be called on any goroutine.
func (w *TLSWork) Ended() bool { return w.ctx.Err() != nil }

// Run does the work, and blocks as long as callbacks of [Config.TLS] do. Call it
// once, on any goroutine, even if the Endpoint was closed meanwhile: it then
// only cleans up.
func (w *TLSWork) Run() {
	w.run()
	close(w.done)
	// The connection may have closed meanwhile, and nobody may come to take the work back. Closing
	// twice does no harm.
	if w.ctx.Err() != nil {
		w.q.Close()
	}
}

func (w *TLSWork) run() {
	if w.ctx.Err() != nil {
		return
	}
	if w.start {
		if w.err = w.q.Start(&roomyContext{Context: w.ctx}); w.err != nil {
			return
		}
	}
	if w.start || w.resume {
		w.collect()
	}
	if w.err == nil && w.data.b != nil {
		w.err = w.q.HandleData(w.data.level, w.data.b)
		w.collect()
	}
}

// A roomyContext makes the stack of the goroutine of a handshake large in one step. crypto/tls
// starts that goroutine with 2 KiB, and the first that it does is to derive a context from this
// one. Signing and X25519 need four times as much, and the runtime would copy the stack each time
// it doubles.
type roomyContext struct {
	context.Context
	roomy bool // since the first call, which comes from that goroutine
}

// Done is that of the context inside.
func (c *roomyContext) Done() <-chan struct{} {
	if !c.roomy {
		c.roomy = true
		growstack.By8K()
	}
	return c.Context.Done()
}

// collect takes the events that are ready. It copies their data, which is valid only until the next
// event.
func (w *TLSWork) collect() {
	for {
		ev := w.q.NextEvent()
		switch ev.Kind {
		case tls.QUICNoEvent:
			return
		case tls.QUICErrorEvent:
			if w.err == nil {
				w.err = ev.Err
			}
			return
		}
		if ev.Kind == tls.QUICTransportParametersRequired {
			w.q.SetTransportParameters(w.params) // RFC 9001, Section 8.2 [1]
			continue
		}
		ev.Data = w.copy(ev.Data)
		if w.events == nil {
			w.events = make([]tls.QUICEvent, 0, w.most(8, 4))
		}
		w.events = append(w.events, ev)
		if ev.Kind == tls.QUICTransportParameters && w.choices != nil {
			w.chooseParams(ev.Data)
		}
		if ev.Kind == tls.QUICResumeSession {
			w.paused = true
			return
		}
		if ev.Kind == tls.QUICHandshakeDone && w.ticket != nil {
			// The tickets leave together with the end of the handshake.
			growstack.By4K() // which sealing them would need bit by bit
			if err := w.q.SendSessionTicket(*w.ticket); err != nil && w.err == nil {
				w.err = err
				return
			}
		}
	}
}

// most returns how much memory the events of the step take at first: flight where they hold the
// flight of a server, end where they hold the end of its handshake with a ticket.
func (w *TLSWork) most(flight, end int) int {
	if w.ticket != nil {
		return end
	}
	return flight
}

// copy returns a copy of b. The copies of a step share memory.
func (w *TLSWork) copy(b []byte) []byte {
	if len(b) > cap(w.copies)-len(w.copies) {
		w.copies = make([]byte, 0, max(len(b), w.most(1<<10, 320)))
	}
	n := len(w.copies)
	w.copies = append(w.copies, b...)
	return w.copies[n:len(w.copies):len(w.copies)]
}

// chooseParams picks the transport parameters of a server for the version that it will negotiate.
func (w *TLSWork) chooseParams(client []byte) {
	chosen := w.original
	if p, err := wire.ParseParams(client, false); err == nil {
		chosen = w.cfg.chooseVersion(chosen, &p)
	}
	w.params = w.choices[max(slices.Index(w.cfg.Versions, chosen), 0)]
}

// A tlsState is the TLS side of a connection. crypto/tls does the handshake on a goroutine of its
// own, in lock step, so it must be closed however the connection ends.
type tlsState struct {
	q      *tls.QUICConn // nil once it is not needed any more
	ctx    context.Context
	cancel context.CancelCauseFunc
	work   *TLSWork // that is out
	paused bool     // the work before stopped at a session to resume
	// our transport parameters: a client's, or for each of Config.Versions that a server may choose
	params [][]byte
	chosen []byte // those of the version that was chosen, while paused
	now    time.Time
	begun  bool
	hello  bool                    // server: a whole ClientHello has come
	level  tls.QUICEncryptionLevel // of the data that TLS takes now
	state  *tls.ConnectionState    // once known

	replayed *tls.ConnectionState // what it was when it was recorded

	messages handshakeMessages
	post     postHandshake
	unwanted error // what these two found in the data of the work that is out
}

func (t *tlsState) init(c *Conn, cfg *tls.Config) {
	t.ctx, t.cancel = context.WithCancelCause(c.cfg.Context)
	qc := &tls.QUICConfig{TLSConfig: cfg, EnableSessionEvents: true}
	if c.server {
		t.q = tls.QUICServer(qc)
		for _, v := range c.cfg.Versions {
			t.params = append(t.params, c.localParams(v))
		}
	} else {
		if c.sessions != nil {
			c.sessions.ctx = t.ctx
		}
		t.q = tls.QUICClient(qc)
		t.params = append(t.params, c.localParams(c.version))
		t.q.SetTransportParameters(t.params[0])
	}
}

// close ends the goroutine of crypto/tls; cause is why the connection ended, if it did. If work is
// out, its Run ends the goroutine.
func (t *tlsState) close(cause error) {
	if t.q == nil {
		return
	}
	t.cancel(cause)
	if w := t.work; w != nil {
		select {
		case <-w.done:
			t.q.Close()
		default:
		}
	} else if t.begun {
		t.q.Close()
	}
	t.q, t.work, t.params, t.ctx, t.cancel = nil, nil, nil, nil, nil
	t.messages, t.post = handshakeMessages{}, postHandshake{}
}

// held returns how many bytes are kept of a message that has not come whole, here or by crypto/tls.
func (t *tlsState) held() int64 { return int64(t.messages.n + cap(t.post.partial)) }

// live returns what crypto/tls says now.
func (t *tlsState) live() tls.ConnectionState {
	if t.replayed != nil {
		return *t.replayed
	}
	return t.q.ConnectionState()
}

// connectionState returns a copy of what is known.
func (t *tlsState) connectionState() tls.ConnectionState {
	if t.state == nil {
		return tls.ConnectionState{Version: tls.VersionTLS13}
	}
	return *t.state
}
