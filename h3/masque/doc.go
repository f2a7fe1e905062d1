// Package masque proxies UDP in HTTP/3 (CONNECT-UDP, RFC 9298).
//
// A [Proxy] is an http.Handler for an [h3http.Server], which [Proxy.Configure] makes ready: it
// opens a UDP socket to the target that a request names, and relays. A [Client] asks a proxy for
// such a tunnel; the [Conn] that it gets is a net.Conn and a net.PacketConn. [Client.DialQUIC] puts
// a QUIC connection through a tunnel, and so serves as Dial of an [h3http.Transport].
//
// UDP payloads travel in HTTP Datagrams (RFC 9297) with context ID 0. Where the peer
// takes no QUIC datagrams they travel in DATAGRAM capsules on the stream, which is
// reliable and in order. A payload that does not fit into a QUIC datagram goes in a
// capsule only up to CapsuleLimit bytes. By default these are the 1200 that any QUIC path
// must carry, so that a handshake succeeds before the path MTU of the connection to the
// proxy is known; anything longer is a probe of the path MTU, and must not get through by
// other means (RFC 9298, Section 6.1). Datagrams of unknown contexts and capsules of
// unknown types are dropped.
//
// # Limits
//
// A Proxy reaches public addresses only, unless Allow says otherwise, and decides by the
// address that it connects to, not by the name. It holds MaxTunnels tunnels, half of them or
// MaxTunnelsPerConn for one connection, ends those
// that are idle for IdleTimeout, and keeps in each at most the queues of the stream (64
// datagrams each way and 192 KiB), one payload each way, and a socket. A Conn keeps 64
// payloads, 256 KiB at most, that nobody has read; the oldest are dropped.
package masque
