// Package loop runs QUIC on sockets, or on any other [Backend].
//
// A [Group], made by [Listen], [Open] or [New], has one [Loop] per Backend. Each Loop is one
// goroutine that drives a [conn.Endpoint]. It reads a batch, feeds it, hands out events, builds
// datagrams, and writes a batch. No goroutine is started per connection, stream or packet; steps of
// TLS handshakes run elsewhere, so that callbacks of a tls.Config may block.
//
// There are two ways to use a connection. A [Handler] runs inside the loop and
// must not block. [Conn] and [Stream] block and work from any goroutine. A
// Group can serve some connections one way and some the other.
//
// # On the loop's goroutine
//
// Handlers, and functions given to [Loop.Do], [Loop.Post] and [Conn.Do], run on the loop's
// goroutine. There a method that waits for the loop would wait for itself. Call no method of
// [Conn], [Stream] or [Group] that blocks; use package conn instead.
package loop
