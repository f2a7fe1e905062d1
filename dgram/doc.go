// Package dgram carries HTTP Datagrams and capsules (RFC 9297) and demultiplexes
// QUIC datagrams (RFC 9221) by flow. Like package conn it does no I/O.
//
// A [Mux] takes the datagrams of one connection. Each of them starts with a quarter stream ID,
// which names the request stream that it belongs to: its [Flow]. A flow queues what arrives, up to
// a bound. When it is full it drops the oldest, because datagrams are for fresh data. Nothing is
// ever fragmented: [Flow.MaxSize] and [TooLargeError] tell how much fits. Datagrams to be sent wait
// in one place, the queue of the connection. A flow has no such queue; age and policy are those of
// [conn.DatagramOptions] and [conn.Config]. [Flow.Stats] counts by flow. [Contexts] split a flow
// again, as RFC 9298 does.
//
// HTTP is not required. Two programs may agree that any number divisible by four
// names a flow, and use a Mux on a connection of their own protocol.
//
// Capsules are the same thing on a stream: [AppendCapsule] and [ParseCapsule].
package dgram
