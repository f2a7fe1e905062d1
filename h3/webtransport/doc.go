// Package webtransport is WebTransport over HTTP/3 (draft-ietf-webtrans-http3): sessions
// of streams and datagrams that browsers, too, can open, on connections of package h3http.
//
// A server configures an [h3http.Server] with an [Upgrader], and calls
// [Upgrader.Upgrade] in a handler. A client calls [Dialer.Dial]. Both get a [Session],
// whose streams are [net.Conn]s.
//
// # Drafts
//
// Browsers and servers speak different drafts of the protocol. This package speaks all
// since draft 02, and uses the newest that the peer's settings offer. They differ in how
// support is announced; streams, datagrams and the close of a session are the same.
//
// Sessions may share a connection, as many as Upgrader.MaxSessions says. Since draft 13
// that takes flow control for each session, which both sides have to ask for, as this
// package does: see Upgrader.MaxData. With a peer that does not, a connection has one
// session at a time.
//
// # Limits
//
// What a peer can make a connection hold or do is bounded:
//
//	sessions at once                      Upgrader.MaxSessions, 16; 1 since draft 13 without flow control
//	streams that come before a session    Upgrader.MaxEarlyStreams, 16; others are rejected
//	datagrams that come before a session  32, then the oldest are dropped
//	datagrams not received                512 KiB a session, then the oldest are dropped
//	the same, of sessions that have ended 512 KiB a connection, until they are received or Session.Close is called
//	streams not accepted                  conn.Config.InitialMaxStreamsBidi and InitialMaxStreamsUni, 100
//	stream data not read                  the flow control windows of package conn
//	the same, of a session                Upgrader.MaxData, 32 MiB, with flow control of sessions
//	streams of a session not closed       Upgrader.MaxStreamsBidi and MaxStreamsUni, 100, likewise
//	a capsule                             1,028 bytes of those that matter; others are skipped as they come
//	time for the client's settings        10 s
//	time for the end of a closed session  3 s
package webtransport
