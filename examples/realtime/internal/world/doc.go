// Package world is the game of examples/realtime without its network: players on a square field,
// what they send and what they see. It knows no socket and no clock. Bytes and the time go in,
// bytes come out, so that a run is a function of its inputs.
//
// # Datagrams
//
// Numbers are big-endian. Times are in tenths of a millisecond, and wrap.
//
//	position, to the server    1, seq u32, born u32, sent u32, x u16, y u16
//	snapshot, to a player      1, tick u32, time u32, echo u32, held u16, count u8,
//	                           count times: id u32, x u16, y u16, age u16
//	voice, to the server       2, seq u16, up to MaxVoice bytes
//	voice, to a player         2, id u32, seq u16, the same bytes
//
// born is when the position was true, by the clock of the server as the client knows it, or 0. sent
// is the clock of the client. A snapshot has it back as echo, with the time for which the server
// held it, so that the client learns the round-trip time and the clock of the server. The first
// player of a snapshot is the one who gets it. age is how old a position was at the time of the
// snapshot.
//
// # Streams
//
// The client opens bidirectional streams, one of each kind at most. Each begins with a byte, the
// Kind. Then messages go both ways: a length u16, and so many bytes of JSON. See Message.
package world
