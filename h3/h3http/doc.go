// Package h3http serves net/http handlers over HTTP/3 (RFC 9114) and sends
// net/http requests over HTTP/3.
//
// [Server] means what [http.Server] means, and [Transport] is an
// [http.RoundTripper], so programs move to them with a line or two. What net/http
// has for the finer points works here too: trailers, 1xx responses, Flush,
// [http.ResponseController], httptrace, full duplex. docs/net-http.md goes through
// net/http's own tests and says which of ours holds what they check.
//
// Most servers offer HTTP/1.1 and HTTP/2 next to HTTP/3: [ListenAndServeTLS] and
// [Server.ListenAndServeAll] serve all three at one address, and [Server.AltSvc] makes
// a server that there is already offer the third. Most clients cannot know what a
// server or the network on the way has: [AltSvcTransport] follows such offers, and
// falls back to TCP where UDP does not get through.
//
// [ConnOf] and [ConnFromContext] lead from a request to its QUIC connection: its
// addresses, round-trip time, losses and all other statistics.
//
// Extended CONNECT (RFC 9220) looks as it does in net/http over HTTP/2: the
// request has the header ":protocol". A handler takes the stream of such a request
// with [TakeStream], a client gets it from [Transport.Connect].
//
// # Limits
//
// Everything that a peer can make this package keep is bounded:
//
//   - MaxHeaderBytes and MaxResponseHeaderBytes bound header sections.
//   - Each stream buffers 128 KiB of body on the way to the application and 64 KiB on
//     the way out, besides the windows of [conn.Config]. In a bulk transfer between two
//     fast sides, that grows to 512 KiB and 256 KiB, unless memory is short.
//   - [conn.Config.InitialMaxStreamsBidi] bounds streams and running handlers. A stream
//     counts until its handler has returned, whatever its client did to it.
//   - ReadHeaderTimeout, StallTimeout, DeliveryTimeout and IdleTimeout bound how long a
//     peer may take.
//
// [Server.Stats] counts what ran into limits, and docs/limits.md lists them all.
package h3http
