// Package h3http serves net/http handlers over HTTP/3 (RFC 9114) and sends
// net/http requests over HTTP/3.
//
// [Server] means what [http.Server] means, and [Transport] is an
// [http.RoundTripper], so programs move to them with a line or two. What net/http
// has for the finer points works here too: trailers, 1xx responses, Flush,
// [http.ResponseController], httptrace, full duplex.
//
// Extended CONNECT (RFC 9220) looks as it does in net/http over HTTP/2: the
// request has the header ":protocol". A handler takes the stream of such a request
// with [TakeStream], a client gets it from [Transport.Connect].
//
// # Limits
//
// Everything that a peer can make this package keep is bounded: header sections by
// MaxHeaderBytes and MaxResponseHeaderBytes; bodies by 128 KiB on their way to the
// application and 64 KiB on their way out, for each stream, next to the windows of
// [conn.Config]; streams, and with them running handlers, by
// [conn.Config.InitialMaxStreamsBidi], because a stream counts until its handler has
// returned, whatever its client did to it.
package h3http
