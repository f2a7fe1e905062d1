// Package wire reads and writes what QUIC puts on the wire (RFC 9000, Sections
// 16 to 19): variable-length integers, packet headers, frames and transport
// parameters. It is pure: bytes in, values out, and the other way round.
//
// Append functions append to b and return it. Parse functions of packets and
// frames alias b, allocate nothing, and report malformed input with n < 0 or
// ok == false; their other results mean nothing then. What a value means in its
// context (a stream's flow control, a frame in the wrong packet type) is for the
// caller to judge.
package wire
