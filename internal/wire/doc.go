// Package wire parses and builds the wire format of QUIC (RFC 9000, Sections 16 to 19):
// variable-length integers, packet headers, frames and transport parameters. It has no state.
//
// Append functions append to b and return it. Parse functions of packets and frames return slices
// of b and allocate nothing. They report malformed input with n < 0 or ok == false; their other
// results mean nothing then. The caller checks what depends on context, such as flow control, or a
// frame in the wrong type of packet.
package wire
