package conn

import "github.com/lazoquic/lazo/internal/qlog"

// qlogStreamStates are the names of the states of both directions (RFC 9000, Sections 3.1 and 3.2).
// The first stands for a direction that does not exist.
var qlogStreamStates = [...]string{
	"", "ready", "data_sent", "reset_sent", "data_received", "reset_received", "receive", "size_known", "data_read", "reset_read",
}

// Indices of qlogStreamStates.
const (
	streamNone = iota
	streamReady
	streamDataSent
	streamResetSent
	streamDataReceived
	streamResetReceived
	streamReceive
	streamSizeKnown
	streamDataRead
	streamResetRead
)

// sendState returns the state of the sending direction.
func (s *Stream) sendState() uint8 {
	switch f := s.flags; {
	case f&flagSend == 0:
		return streamNone
	case f&flagSendDone != 0 && f&(flagReset|flagResetAt) != 0:
		return streamResetReceived
	case f&flagSendDone != 0:
		return streamDataReceived
	case f&(flagReset|flagResetAt) != 0:
		return streamResetSent
	case f&flagFinSent != 0:
		return streamDataSent
	}
	return streamReady
}

// recvState returns the state of the receiving direction.
func (s *Stream) recvState() uint8 {
	switch f := s.flags; {
	case f&flagRecv == 0:
		return streamNone
	case f&flagRecvDone != 0 && f&(flagRecvReset|flagRecvResetAt) != 0:
		return streamResetRead
	case f&flagRecvDone != 0:
		return streamDataRead
	case f&flagRecvReset != 0:
		return streamResetReceived
	case s.atEnd():
		return streamDataReceived
	case f&flagSizeKnown != 0:
		return streamSizeKnown
	}
	return streamReceive
}

// traceState writes the states of the stream into the qlog, if they changed. It is called only if
// Conn.traced is set.
func (s *Stream) traceState() {
	log := s.c.qlog
	if log == nil {
		return
	}
	for i, state := range [...]uint8{s.sendState(), s.recvState()} {
		last := s.logged[i]
		if state == last {
			continue
		}
		s.logged[i] = state
		log.StreamState(s.c.e.wall(s.c.e.now), qlog.StreamChange{
			ID: uint64(s.id), Uni: s.id.Dir() == Uni, Sending: i == 0, Old: qlogStreamStates[last], New: qlogStreamStates[state],
		})
	}
}

// traceMoved writes into the qlog that the application wrote or read the n bytes before an offset.
// It is called only if Conn.traced is set.
func (s *Stream) traceMoved(end uint64, n int, read bool, info string) {
	if log := s.c.qlog; log != nil {
		log.StreamMoved(s.c.e.wall(s.c.e.now), qlog.StreamMove{
			ID: uint64(s.id), Offset: end - uint64(n), N: n, Read: read, Info: info,
		})
	}
}

// traceLost writes into the qlog that data will be sent again. It is called only if Conn.traced is
// set.
func (s *Stream) traceLost(off uint64, n int, fin bool) {
	if log := s.c.qlog; log != nil {
		log.StreamLost(s.c.e.wall(s.c.e.now), uint64(s.id), off, n, fin)
	}
}

// traceBlocked writes into the qlog whether the stream waits for MAX_STREAM_DATA. It is called only
// if Conn.traced is set.
func (s *Stream) traceBlocked(waits bool) {
	if log := s.c.qlog; log != nil {
		log.StreamBlocked(s.c.e.wall(s.c.e.now), uint64(s.id), waits)
	}
}
