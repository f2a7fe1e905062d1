package loop

import (
	"context"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/udpio"
)

// Stats are the sums over the Loops of a Group.
type Stats struct {
	conn.EndpointStats
	Turns, Wakes uint64
	SlowTurns    uint64      // turns of more than 5 ms: a Handler blocks, or does too much
	HandedOver   uint64      // datagrams that reached the wrong Loop and were handed over
	HandoverLost uint64      // datagrams that reached the wrong Loop and found no room
	WriteErrors  uint64      // messages that the Backend refused
	Socket       udpio.Stats // of the sockets that Listen opened
}

// loopStats are the counters of a Loop.
type loopStats struct {
	turns, slowTurns       uint64
	handedOver, handedLost uint64
	writeErrors            uint64
}

// Stats asks all Loops for their counters, and waits for them.
func (g *Group) Stats() Stats {
	g.mayWait("Stats")
	var sum Stats
	for _, l := range g.loops {
		var s Stats
		if l.Do(context.Background(), func(time.Time) { s = l.stats() }) != nil {
			<-l.done
			s = l.stats()
		}
		sum.Add(&s)
	}
	return sum
}

// stats returns the counters of the loop. Call it on the loop's goroutine, or after that has ended.
func (l *Loop) stats() Stats {
	s := Stats{
		EndpointStats: l.ep.Stats(),
		Turns:         l.turns,
		Wakes:         l.mail.wakes.Load(),
		SlowTurns:     l.slowTurns,
		HandedOver:    l.handedOver,
		HandoverLost:  l.handedLost,
		WriteErrors:   l.writeErrors,
	}
	drift := l.held.drift()
	s.Held += drift
	s.HeldBy.Above += drift
	if b, ok := l.backend.(interface{ Stats() udpio.Stats }); ok {
		s.Socket = b.Stats()
	}
	return s
}

// Add adds o to s, for sums over Groups.
func (s *Stats) Add(o *Stats) {
	addEndpoint(&s.EndpointStats, &o.EndpointStats)
	s.Turns += o.Turns
	s.Wakes += o.Wakes
	s.SlowTurns += o.SlowTurns
	s.HandedOver += o.HandedOver
	s.HandoverLost += o.HandoverLost
	s.WriteErrors += o.WriteErrors
	s.Socket.QueueOverflows += o.Socket.QueueOverflows
	s.Socket.Truncated += o.Socket.Truncated
	s.Socket.GSOFallbacks += o.Socket.GSOFallbacks
	s.Socket.ReadBuffer += o.Socket.ReadBuffer
	s.Socket.WriteBuffer += o.Socket.WriteBuffer
}

// addEndpoint adds o to s.
func addEndpoint(s, o *conn.EndpointStats) {
	s.Conns += o.Conns
	s.Handshakes += o.Handshakes
	s.Buffered += o.Buffered
	s.Held += o.Held
	s.Streams += o.Streams
	s.HeldBy.Buffers += o.HeldBy.Buffers
	s.HeldBy.Conns += o.HeldBy.Conns
	s.HeldBy.Handshakes += o.HeldBy.Handshakes
	s.HeldBy.Streams += o.HeldBy.Streams
	s.HeldBy.Above += o.HeldBy.Above
	s.HeldBy.Packets += o.HeldBy.Packets
	s.HeldBy.EndedOrGaps += o.HeldBy.EndedOrGaps
	s.Paths += o.Paths
	s.FirstPaths.Add(o.FirstPaths)
	s.OtherPaths.Add(o.OtherPaths)
	for _, c := range []struct {
		sum *uint64
		n   uint64
	}{
		{&s.Dialed, o.Dialed},
		{&s.Accepted, o.Accepted},
		{&s.Connected, o.Connected},
		{&s.Retries, o.Retries},
		{&s.Refusals, o.Refusals},
		{&s.Ignored, o.Ignored},
		{&s.VersionNegotiations, o.VersionNegotiations},
		{&s.StatelessResetsSent, o.StatelessResetsSent},
		{&s.ClosedLocally, o.ClosedLocally},
		{&s.ClosedByPeer, o.ClosedByPeer},
		{&s.TransportErrors, o.TransportErrors},
		{&s.IdleTimeouts, o.IdleTimeouts},
		{&s.HandshakeTimeouts, o.HandshakeTimeouts},
		{&s.Unreachable, o.Unreachable},
		{&s.StatelessResets, o.StatelessResets},
		{&s.PacketsSent, o.PacketsSent},
		{&s.PacketsReceived, o.PacketsReceived},
		{&s.PacketsLost, o.PacketsLost},
		{&s.BytesSent, o.BytesSent},
		{&s.BytesReceived, o.BytesReceived},
		{&s.BytesLost, o.BytesLost},
		{&s.SpuriousLosses, o.SpuriousLosses},
		{&s.StreamBytesRetransmitted, o.StreamBytesRetransmitted},
		{&s.PTOs, o.PTOs},
		{&s.CEMarks, o.CEMarks},
		{&s.KeyUpdates, o.KeyUpdates},
		{&s.SuspiciousFrames, o.SuspiciousFrames},
		{&s.PathChanges, o.PathChanges},
		{&s.StreamsOpened, o.StreamsOpened},
		{&s.StreamsAccepted, o.StreamsAccepted},
		{&s.ConnBlocks, o.ConnBlocks},
		{&s.StreamBlocks, o.StreamBlocks},
		{&s.StreamLimitBlocks, o.StreamLimitBlocks},
		{&s.AmplificationBlocks, o.AmplificationBlocks},
		{&s.DatagramsSent, o.DatagramsSent},
		{&s.DatagramsReceived, o.DatagramsReceived},
		{&s.DatagramsAcked, o.DatagramsAcked},
		{&s.DatagramsLost, o.DatagramsLost},
		{&s.DatagramsExpired, o.DatagramsExpired},
		{&s.DatagramsDropped, o.DatagramsDropped},
		{&s.AcceptedRetry, o.AcceptedRetry},
		{&s.AcceptedNewToken, o.AcceptedNewToken},
		{&s.EarlyDataAccepted, o.EarlyDataAccepted},
		{&s.EarlyDataRejected, o.EarlyDataRejected},
		{&s.EarlyPacketsKept, o.EarlyPacketsKept},
		{&s.DroppedMalformed, o.DroppedMalformed},
		{&s.DroppedUnroutable, o.DroppedUnroutable},
		//lint:ignore SA1019 it is kept for those who read it
		{&s.DroppedUnknownID, o.DroppedUnknownID},
		{&s.DroppedUndecryptable, o.DroppedUndecryptable},
		{&s.DroppedDuplicate, o.DroppedDuplicate},
		{&s.DroppedLimit, o.DroppedLimit},
		{&s.PathsOpened, o.PathsOpened},
		{&s.PathsAbandoned, o.PathsAbandoned},
	} {
		*c.sum += c.n
	}
}
