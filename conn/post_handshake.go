package conn

import (
	"golang.org/x/crypto/cryptobyte"

	"github.com/lazoquic/lazo/internal/wire"
)

// TLS messages that a server may send behind the handshake (RFC 8446, Section 4), and what
// crypto/tls lets pass, or answers with another error than RFC 9001 names.
const (
	tlsNewSessionTicket   = 4
	tlsCertificateRequest = 13
	tlsHeaderLen          = 4 // type, and a length of 3 bytes

	tlsExtEarlyData = 42
	// RFC 9001, Section 4.6.1: early data of QUIC has no limit but that of flow control
	unlimitedEarlyData = 0xffffffff
)

// ticketsOfTLS is how many session tickets of a connection crypto/tls gets: the first ones. It ends
// connections of QUIC after 16 messages behind the handshake, although a server may send any number
// of tickets, over days.
const ticketsOfTLS = 16

// maxTLSMessage is the length of the longest message that crypto/tls takes.
const maxTLSMessage = 1 << 16

// A postHandshake looks at the TLS messages that a client gets behind the handshake.
type postHandshake struct {
	partial []byte // a message that has not come whole
	tickets int    // that have come
}

// take looks at the next bytes. It returns the messages that are whole now, without the tickets
// that are too many, and which rule they break. Of a message that is too long it returns what there
// is: crypto/tls says what is wrong with it.
func (p *postHandshake) take(b []byte) (whole []byte, err error) {
	p.partial = append(p.partial, b...)
	in := cryptobyte.String(p.partial)
	for len(in) >= tlsHeaderLen {
		rest := in
		var typ uint8
		var msg cryptobyte.String
		in.ReadUint8(&typ)
		if typ == tlsCertificateRequest {
			// RFC 9001, Section 4.4 [4]
			return nil, violation(errProtocolViolation, wire.FrameCrypto, "a client is asked for a certificate behind the handshake")
		}
		if size := int(in[0])<<16 | int(in[1])<<8 | int(in[2]); size > maxTLSMessage {
			return append(whole, rest...), nil
		}
		if !in.ReadUint24LengthPrefixed(&msg) {
			in = rest
			break
		}
		if typ == tlsNewSessionTicket {
			if size, ok := earlyDataOfTicket(msg); ok && size != unlimitedEarlyData {
				// RFC 9001, Section 4.6.1 [2]
				return nil, violation(errProtocolViolation, wire.FrameCrypto, "a session ticket limits early data to %d bytes", size)
			}
			if p.tickets++; p.tickets > ticketsOfTLS {
				continue
			}
		}
		whole = append(whole, rest[:len(rest)-len(in)]...)
	}
	if len(in) == 0 {
		p.partial = nil
	} else if len(in) < len(p.partial) {
		p.partial = p.partial[:copy(p.partial, in)]
	}
	return whole, nil
}

// earlyDataOfTicket returns max_early_data_size of a NewSessionTicket message, if it is there (RFC
// 8446, Section 4.6.1). What is malformed is for crypto/tls to say.
func earlyDataOfTicket(msg cryptobyte.String) (size uint32, ok bool) {
	var nonce, ticket, exts cryptobyte.String
	if !msg.Skip(8) || // lifetime and age_add
		!msg.ReadUint8LengthPrefixed(&nonce) || !msg.ReadUint16LengthPrefixed(&ticket) || !msg.ReadUint16LengthPrefixed(&exts) {
		return 0, false
	}
	for {
		var typ uint16
		var value cryptobyte.String
		if !exts.ReadUint16(&typ) || !exts.ReadUint16LengthPrefixed(&value) {
			return 0, false
		}
		if typ == tlsExtEarlyData && len(value) == 4 {
			ok = value.ReadUint32(&size)
			return size, ok
		}
	}
}
