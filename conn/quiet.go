package conn

import "time"

// A client that only receives is not told when a NAT has given it another address: its server sends
// to the old one, and the client has nothing to send. So it sends a PING when it awaits an answer
// and nothing comes for a few times the usual gap.
const (
	// times the probe timeout, or the usual gap between packets with something in them
	quietFactor   = 3
	maxQuietPings = 4 // in a row, each after twice the time of the one before
)

// A quietWatch notices when a server that has to answer falls silent.
type quietWatch struct {
	last  instant       // when a packet came
	asked instant       // when one came that asks for acknowledgement
	gap   time.Duration // between those, on average
	pings uint8         // since one of those came, or a request began
}

// heard notes a packet. A packet that only acknowledges shows that the path works. It does not show
// that the answer goes on.
func (q *quietWatch) heard(now instant, eliciting bool) {
	if eliciting {
		if q.asked != 0 {
			q.gap += (now.sub(q.asked) - q.gap) / 8
		}
		q.asked, q.pings = now, 0
	}
	q.last = now
}

// quietDeadline returns when a client asks whether its server is still there; 0 if it awaits
// nothing, or a packet of its own is under way, whose probe timeout does the same.
func (c *Conn) quietDeadline() instant {
	q := &c.quiet
	if c.streams.awaited == 0 || q.pings >= maxQuietPings || c.state != stateConfirmed || c.awaitsAck() {
		return 0
	}
	wait := quietFactor * max(c.main().path.rtt.pto()+c.peerMaxAckDelay(), q.gap)
	return q.last.add(wait << q.pings)
}

// breakSilence sends the PING.
func (c *Conn) breakSilence() {
	c.quiet.pings++
	c.main().keepAlive()
}

// await counts a stream on which a client asks for an answer: it has written to it, or ended it.
// PINGs for a stream on which nothing was asked would only keep an idle connection alive.
func (s *Stream) await() {
	over := s.flags&(flagSizeKnown|flagStopped|flagRecvDone) != 0
	if s.awaited || over || s.c.server || s.id.ByServer() || s.id.Dir() != Bidi || s.out.Sent() > 0 {
		return
	}
	s.awaited = true
	s.c.streams.awaited++
	s.c.quiet.pings = 0
}

// answered notes that nothing more is awaited on the stream.
func (s *Stream) answered() {
	if s.awaited {
		s.awaited = false
		s.c.streams.awaited--
	}
}
