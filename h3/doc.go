// Package h3 is HTTP/3 (RFC 9114) over package conn. Like package conn it does no I/O.
//
// Package h3http serves net/http handlers and makes requests with it. This
// package is for programs that want to stay inside the loop, for extensions such
// as WebTransport, and for whoever brings a loop of their own.
//
// # Driving a Conn
//
// A [Conn] sits on a [conn.Conn], on its goroutine. It takes the events of the
// QUIC connection by [Conn.HandleEvent] and turns them into its own, which
// [Conn.NextEvent] returns until it has no more:
//
//	if !h.HandleEvent(now, ev) {
//		// not HTTP/3's, or not HTTP/3's alone
//	}
//	for ev, ok := h.NextEvent(); ok; ev, ok = h.NextEvent() {
//		// EventFields, EventReadable, ...
//	}
//
// A message is a header section, a body and perhaps trailers. Sections come as
// [EventFields]; the body stays in the [Stream], where [Stream.Read] or
// [Stream.Peek] find it when [EventReadable] has said so. What is not read holds
// the peer back. Trailers come as [EventFields] before Read returns io.EOF.
//
// # What is checked
//
// Messages are checked both ways (RFC 9114, Sections 4.1 to 4.4): names are lower
// case tokens, pseudo-header fields are complete and in their place, host and
// :authority agree, connection-specific fields are absent, no value has a NUL,
// CR or LF, and a body is as long as its content-length. A malformed message ends
// its stream with [MessageError], and nothing but its stream. A server's
// application does not even see a malformed request. A rule of the connection
// that is broken ends the connection with the error code that the RFC names.
//
// # Extensions
//
// Extended CONNECT (RFC 9220) is a request with :protocol. HTTP Datagrams (RFC
// 9297) come from [Stream.Datagrams]. Priorities (RFC 9218) are applied as
// clients state them, to the order in which a server sends; see [EventPriority].
// Responses to clients that state none take turns.
// [Config.StreamTypes] and [Config.Settings] make room for others. There is no
// server push: no client gets any, and no server makes any.
//
// # Limits
//
// What a peer can make a Conn hold or do is bounded:
//
//	requests at once                  conn.Config.InitialMaxStreamsBidi, 100; one counts until Stream.Release
//	fields of a section, decoded      Config.MaxFieldSectionSize, 64 KiB; counted while decoding; Config.MaxFields, 1,000
//	sections that have not come whole 1 MiB and one section, in all requests
//	time for a header section         Conn.ExpireRequests
//	requests that come to nothing     Config.MaxCancels, 1000; then ExcessiveLoad
//	body not read                     the flow control windows of package conn
//	body or fields not taken          conn.Config.UnsentBytes, and 64 KiB of fields or one section;
//	                                  less than 4 bytes hold no frame, and Write would take nothing
//	interim responses to a request    64
//	SETTINGS                          4096 bytes
//	frames of unknown types           skipped as they come, whatever their length
//	dynamic table, decoding           Config.QPACKTableCapacity and QPACKBlockedStreams, 0
//	dynamic table, encoding           Config.QPACKEncoderCapacity, 4096 bytes; 128 sections not acknowledged
//	instructions of ours not read     64 KiB a stream
//	PRIORITY_UPDATE before requests   64; a field has 256 bytes at most
//	datagrams not read                32 a request, and 32 without a request
//
// [Conn.Stats] counts what ran into them. docs/limits.md has all limits of the module.
package h3
