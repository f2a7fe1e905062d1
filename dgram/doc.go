// Package dgram carries HTTP Datagrams and capsules (RFC 9297) and demultiplexes
// QUIC datagrams (RFC 9221) by flow. Like package conn it does no I/O.
//
// A [Mux] sits on the datagrams of one connection. Each of them starts with a
// quarter stream ID, which names the request stream that it belongs to: its
// [Flow]. A flow queues what arrives, up to a bound, and drops the oldest when
// full, as what matters in a datagram is that it is fresh. Nothing is ever
// fragmented: [Flow.MaxSize] tells what fits, and so does the [TooLargeError] of what
// does not. What is sent waits in one place, the queue of the connection: a flow has none,
// and age and policy are those of [conn.DatagramOptions] and [conn.Config].
// [Flow.Stats] counts by flow. [Contexts] split a flow again, as RFC 9298 does.
//
// HTTP is not required. Two programs may agree that any number divisible by four
// names a flow, and use a Mux on a connection of their own protocol.
//
// Capsules are the same thing on a stream: [AppendCapsule] and [ParseCapsule].
package dgram
