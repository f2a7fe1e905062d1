// Package wire holds tests alone: internal/wire and the parser of quic-go read the same bytes. That
// parser is internal to quic-go. So the tests copy quic-go to a temporary directory, and build a
// program there that parses for them.
package wire
