package conn

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"time"
)

// perform does a recorded call, and compares its result.
func (p *player) perform(a arguments) {
	p.call = a.kind
	p.depth++
	defer func() { p.depth-- }()
	switch {
	case a.kind < callHold:
		p.endpointCall(a)
	case a.kind < callRead:
		if c := a.conn(0); c != nil {
			p.connCall(a, c)
		}
	case a.kind < callSetSendMax, a.kind >= callTakeBack && a.kind < tapeKinds:
		if s := a.stream(); s != nil {
			p.streamCall(a, s)
		}
	case a.kind < tapeKinds:
		p.groupCall(a)
	default:
		p.diverge("the recording has %s, which this version does not know", kindName(a.kind))
	}
}

// verb returns the time of a verb.
func (p *player) verb(a arguments) time.Time {
	p.at = time.Duration(a.num(0))
	return a.time(0)
}

func (p *player) endpointCall(a arguments) {
	e := p.e
	switch a.kind {
	case callReceive:
		e.Receive(p.verb(a), Datagram{Remote: a.addr(0), Local: a.addr(1), Data: a.str(2), SegmentSize: int(a.num(1)), ECN: ECN(a.num(2))})
	case callHandleTimeout:
		e.HandleTimeout(p.verb(a))
	case callNextEvent:
		ev, _ := e.NextEvent()
		p.result(eventResult(&ev))
	case callTransmit:
		p.transmit(a)
	case callComplete:
		p.complete(a)
	case callDial:
		to := Target{Remote: a.addr(0), Local: a.addr(1), ServerName: string(a.str(2))}
		if a.num(2) != 0 {
			to.Token = a.str(3)
		}
		c, err := e.Dial(p.verb(a), to, p.configs[a.num(1)])
		p.result([]uint64{c.tapeSerial()}, errorText(err))
	case callSendFailed:
		b := Burst{N: int(a.num(1)), SegmentSize: int(a.num(2)), ECN: ECN(a.num(3)), Remote: a.addr(0), Local: a.addr(1)}
		if a.num(4) != 0 {
			b.Conn = a.conn(4)
		}
		e.SendFailed(p.verb(a), b, a.err(2))
	case callUndelivered:
		e.Undelivered(p.verb(a), Datagram{Remote: a.addr(0), Local: a.addr(1), Data: a.str(2)}, a.err(3))
	case callSetTokenKeys:
		var keys [][32]byte
		for b := a.str(0); len(b) >= 32; b = b[32:] {
			keys = append(keys, [32]byte(b))
		}
		e.SetTokenKeys(keys)
	case callSetServer:
		e.SetServer(p.configs[a.num(0)])
	case callStopAccepting:
		e.StopAccepting()
	case callEndpointClose:
		e.Close()
	case callEndpointHold:
		e.Hold(int64(a.num(0)))
	}
}

// transmit does a call of Transmit.
func (p *player) transmit(a arguments) {
	now, size := p.verb(a), a.num(1)
	if size > maxBurst {
		size = maxBurst // more is not used
	}
	if p.buf == nil {
		p.buf = make([]byte, maxBurst)
	}
	b, ok := p.e.Transmit(now, p.buf[:size], int(a.num(2)))
	n, addrs := burstResult(p.buf, b, ok)
	p.result(n, addrs...)
}

// complete does a call of Complete.
func (p *player) complete(a arguments) {
	now, c := p.verb(a), a.conn(1)
	if c == nil {
		return
	}
	w := c.tls.work
	if a.num(2) != 0 { // nobody waited for it any more
		w = &TLSWork{conn: c, q: tls.QUICClient(&tls.QUICConfig{TLSConfig: &tls.Config{}})}
	} else if w == nil || c.closed {
		p.diverge("connection %d is not at a step of TLS", c.serial)
		return
	}
	p.e.Complete(now, w)
}

func (p *player) connCall(a arguments, c *Conn) {
	switch a.kind {
	case callHold:
		c.Hold(int64(a.num(1)))
	case callNote:
		if f := p.opt.Note; f != nil {
			f(c, a.str(0))
		}
	case callSetTimer:
		if a.num(1) == 0 {
			c.SetTimer(time.Time{})
		} else {
			c.SetTimer(a.time(2))
		}
	case callSetKeepAlive:
		c.SetKeepAlive(time.Duration(a.num(1)))
	case callUpdateKeys:
		c.UpdateKeys()
	case callClose:
		c.Close(a.num(1), string(a.str(0)))
	case callRefuse:
		c.Refuse(string(a.str(0)))
	case callAbandon:
		c.Abandon()
	case callSendDatagram:
		id, err := c.SendDatagram(a.str(0), DatagramOptions{MaxAge: time.Duration(a.num(1)), Notify: a.num(2) != 0, Redundant: a.num(3) != 0})
		p.result([]uint64{id}, errorText(err))
	case callReceiveDatagram:
		b, _ := c.ReceiveDatagram()
		p.result(dataResult(b), nil)
	case callProbe:
		c.Probe(a.addr(0))
	case callMigrate:
		c.Migrate(a.addr(0))
	case callSwitch:
		c.Switch(a.addr(0))
	case callOpenPath:
		c.OpenPath(a.addr(0))
	case callAbandonPath:
		c.AbandonPath(PathID(a.num(1)), a.num(2))
	case callSetPathBackup:
		c.SetPathBackup(PathID(a.num(1)), a.num(2) != 0)
	case callSetTicketData:
		c.SetTicketData(a.str(0))
	case callGrowWindow:
		c.GrowWindow(int64(a.num(1)))
	case callGrowStreams:
		c.GrowStreams(Dir(a.num(1)), int64(a.num(2)))
	case callOpenStream:
		s, err := c.OpenStream(Dir(a.num(1)))
		p.result([]uint64{s.tapeSerial()}, errorText(err))
	}
}

func (p *player) streamCall(a arguments, s *Stream) {
	if p.chunk == nil {
		p.chunk = new(Chunk)
	}
	switch a.kind {
	case callRead:
		b := make([]byte, min(a.num(1), uint64(max(s.in.Ready(), 1))))
		n, err := s.Read(b)
		p.result(dataResult(b[:n]), errorText(err))
	case callPeek:
		b, err := s.Peek(int(a.num(1)))
		p.result(dataResult(b), errorText(err))
	case callDiscard:
		s.Discard(int(a.num(1)))
	case callWrite:
		write := s.Write
		if a.num(1) != 0 {
			write = s.WriteShared
		}
		n, _ := write(a.str(0))
		p.result([]uint64{uint64(n)})
	case callCloseWrite:
		s.CloseWrite()
	case callReset:
		s.Reset(a.num(1))
	case callResetAt:
		s.ResetAt(a.num(1), a.num(2))
	case callResetBehind:
		s.ResetBehind(a.num(1))
	case callStopSending:
		s.StopSending(a.num(1))
	case callRelease:
		s.Release()
	case callSetPriority:
		s.SetPriority(Priority{Urgency: int8(a.num(1)), Incremental: a.num(2) != 0})
	case callSetRedundant:
		s.SetRedundant(a.num(1) != 0)
	case callTakeChunk:
		c, from := s.TakeChunk(p.chunk)
		if c == nil {
			p.result(dataResult(nil), nil)
			return
		}
		p.chunk = c
		p.result(dataResult(c[from:]), nil)
	case callWriteChunk:
		if copy(p.chunk[:], a.str(0)); len(a.str(0)) == len(p.chunk) {
			if c := s.WriteChunk(p.chunk); c != nil {
				p.chunk = c
			}
		}
	case callTakeBack:
		s.TakeBack(int(a.num(1)))
	case callNotifyUnsent:
		s.NotifyUnsent(int(a.num(1)))
	case callJoin:
		g := p.groups[a.num(1)]
		if g == nil {
			g = NewStreamGroup(a.num(3), a.num(4), func() {})
			p.groups[a.num(1)] = g
		}
		s.Join(g, a.num(2))
	}
}

func (p *player) groupCall(a arguments) {
	g := p.groups[a.num(0)]
	if g == nil {
		p.diverge("there is no StreamGroup %d", a.num(0))
		return
	}
	if a.kind == callSetSendMax {
		g.SetSendMax(a.num(1))
	} else {
		g.SetReceiveMax(a.num(1))
	}
}

// difference says in what a result differs from that of the recording, "" if in nothing.
func difference(call uint64, want arguments, numbers []uint64, strings [][]byte) string {
	switch call {
	case callTransmit:
		if d := burstDifference(want.numbers, numbers); d != "" {
			return d
		}
	case callRead, callPeek, callTakeChunk, callReceiveDatagram:
		if len(want.numbers) == 2 && want.numbers[0] == numbers[0] && want.numbers[1] != numbers[1] {
			return fmt.Sprintf("the %d bytes that it returns are others than in the recording", numbers[0])
		}
	}
	if len(numbers) != len(want.numbers) || len(strings) != len(want.strings) {
		return fmt.Sprintf("it returns %v, and the recording has %v", numbers, want.numbers)
	}
	for i, n := range numbers {
		if n != want.numbers[i] {
			return fmt.Sprintf("it returns %v, and the recording has %v", numbers, want.numbers)
		}
	}
	for i, s := range strings {
		if !bytes.Equal(s, want.strings[i]) {
			return fmt.Sprintf("it returns %q, and the recording has %q", s, want.strings[i])
		}
	}
	return ""
}

// burstDifference says how two bursts differ that burstResult describes.
func burstDifference(want, got []uint64) string {
	const sums = 4
	switch {
	case len(got) < sums && len(want) >= sums:
		return fmt.Sprintf("it sends nothing, and the recording has %d bytes of connection %d", want[0], want[3])
	case len(got) >= sums && len(want) < sums:
		return fmt.Sprintf("it sends %d bytes of connection %d, and the recording has nothing", got[0], got[3])
	case len(got) < sums:
		return ""
	}
	for i := range min(len(got), len(want)) - sums {
		if got[sums+i] != want[sums+i] {
			return fmt.Sprintf("datagram %d of the burst differs: it sends %d bytes in %d datagrams, and the recording has %d in %d",
				i+1, got[0], len(got)-sums, want[0], len(want)-sums)
		}
	}
	return ""
}
