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

// A postHandshake looks at the TLS messages that a client gets behind the handshake.
type postHandshake struct {
	partial []byte // a message that has not come whole; crypto/tls bounds its length
}

// take looks at the next bytes, and returns which rule they break. It does not look again at the
// inside of a message that has not come whole.
func (p *postHandshake) take(b []byte) error {
	p.partial = append(p.partial, b...)
	in := cryptobyte.String(p.partial)
	for {
		rest := in
		var typ uint8
		var msg cryptobyte.String
		if !in.ReadUint8(&typ) {
			break
		}
		if typ == tlsCertificateRequest && len(rest) >= tlsHeaderLen {
			// RFC 9001, Section 4.4 [4]
			return violation(errProtocolViolation, wire.FrameCrypto, "a client is asked for a certificate behind the handshake")
		}
		if !in.ReadUint24LengthPrefixed(&msg) {
			in = rest
			break
		}
		if typ != tlsNewSessionTicket {
			continue
		}
		if size, ok := earlyDataOfTicket(msg); ok && size != unlimitedEarlyData {
			// RFC 9001, Section 4.6.1 [2]
			return violation(errProtocolViolation, wire.FrameCrypto, "a session ticket limits early data to %d bytes", size)
		}
	}
	p.partial = p.partial[:copy(p.partial, in)]
	if len(p.partial) == 0 {
		p.partial = nil
	}
	return nil
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
