package conn

import (
	"encoding/binary"

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

// take looks at the next bytes, and returns which rule they break.
func (p *postHandshake) take(b []byte) error {
	b = append(p.partial, b...)
	for len(b) >= tlsHeaderLen {
		if b[0] == tlsCertificateRequest {
			// RFC 9001, Section 4.4
			return violation(errProtocolViolation, wire.FrameCrypto, "a client is asked for a certificate behind the handshake")
		}
		n := tlsHeaderLen + int(binary.BigEndian.Uint32(b)&0xffffff)
		if len(b) < n {
			break
		}
		if b[0] == tlsNewSessionTicket {
			if size, ok := earlyDataOfTicket(b[tlsHeaderLen:n]); ok && size != unlimitedEarlyData {
				// RFC 9001, Section 4.6.1
				return violation(errProtocolViolation, wire.FrameCrypto, "a session ticket limits early data to %d bytes", size)
			}
		}
		b = b[n:]
	}
	p.partial = append([]byte(nil), b...)
	return nil
}

// earlyDataOfTicket returns max_early_data_size of a NewSessionTicket message, if it is there (RFC
// 8446, Section 4.6.1). What is malformed is for crypto/tls to say.
func earlyDataOfTicket(b []byte) (size uint32, ok bool) {
	if len(b) < 8 { // lifetime and age_add
		return 0, false
	}
	_, b = cutVector(b[8:], 1) // nonce
	_, b = cutVector(b, 2)     // ticket
	exts, _ := cutVector(b, 2)
	for len(exts) > 2 {
		typ := binary.BigEndian.Uint16(exts)
		var value []byte
		value, exts = cutVector(exts[2:], 2)
		if typ == tlsExtEarlyData && len(value) == 4 {
			return binary.BigEndian.Uint32(value), true
		}
	}
	return 0, false
}

// cutVector returns what is in the vector at the start of b, whose length takes prefix bytes, and
// what follows it; nil if it is cut short.
func cutVector(b []byte, prefix int) (value, rest []byte) {
	if len(b) < prefix {
		return nil, nil
	}
	n := 0
	for _, x := range b[:prefix] {
		n = n<<8 | int(x)
	}
	if b = b[prefix:]; len(b) < n {
		return nil, nil
	}
	return b[:n], b[n:]
}
