package masque

import "sync/atomic"

// Stats are the counters of a [Conn], or of all tunnels of a [Proxy], each as that end sees them:
// what a Proxy has sent into tunnels came from the targets.
type Stats struct {
	Sent, SentBytes                uint64 // UDP payloads into the tunnel
	Received, ReceivedBytes        uint64 // UDP payloads out of the tunnel
	CapsulesSent, CapsulesReceived uint64 // how many of them in capsules
	// not sent, because they fit neither into a datagram nor into a capsule
	TooLarge uint64
	// received, but of unknown contexts, unknown capsules, or payloads that nobody read or the
	// socket refused
	Dropped uint64
}

// counters are the counters of Stats. Several goroutines may use them.
type counters struct {
	sent, sentBytes, received, receivedBytes, capsulesSent, capsulesReceived, tooLarge, dropped atomic.Uint64
}

func (c *counters) snapshot() Stats {
	return Stats{
		Sent: c.sent.Load(), SentBytes: c.sentBytes.Load(),
		Received: c.received.Load(), ReceivedBytes: c.receivedBytes.Load(),
		CapsulesSent: c.capsulesSent.Load(), CapsulesReceived: c.capsulesReceived.Load(),
		TooLarge: c.tooLarge.Load(), Dropped: c.dropped.Load(),
	}
}
