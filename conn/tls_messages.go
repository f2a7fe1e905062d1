package conn

import (
	"crypto/tls"

	"github.com/lazoquic/lazo/internal/wire"
)

// TLS messages of a handshake (RFC 8446, Section 4), and where the length of legacy_session_id lies
// in a ClientHello: behind the header, a version and the random.
const (
	tlsClientHello  = 1
	tlsServerHello  = 2
	tlsFinished     = 20
	tlsSessionIDOff = tlsHeaderLen + 2 + 32
)

// A handshakeMessages follows the messages of the peer's handshake. It keeps two rules that
// crypto/tls does not keep, or answers with another error than RFC 9001 names.
type handshakeMessages struct {
	head [tlsSessionIDOff + 1]byte // the start of the message that has not come whole
	n    int                       // how much of that message has come
}

// take looks at the next bytes of an encryption level, and returns which rule they break.
func (m *handshakeMessages) take(level tls.QUICEncryptionLevel, b []byte) error {
	for len(b) > 0 {
		b = b[m.fill(b):]
		if m.n == len(m.head) && m.head[0] == tlsClientHello && m.head[tlsSessionIDOff] != 0 {
			// RFC 9001, Section 8.4 [2]: the client uses the compatibility mode of TLS 1.3.
			return violation(errProtocolViolation, wire.FrameCrypto, "ClientHello with a legacy_session_id")
		}
		if m.n < tlsHeaderLen || m.n < m.size() {
			continue
		}
		typ := m.head[0]
		m.n = 0
		// Keys for the next level follow a hello or a Finished, if it is valid. A HelloRetryRequest
		// counts as a ServerHello: nothing can follow it before the client has answered.
		last := typ == tlsFinished
		if level == tls.QUICEncryptionLevelInitial {
			last = typ == tlsClientHello || typ == tlsServerHello
		}
		if last && len(b) > 0 {
			return errTLSBehind()
		}
	}
	return nil
}

// fill takes the next bytes of a message, and returns how many they are.
func (m *handshakeMessages) fill(b []byte) int {
	want := tlsHeaderLen - m.n
	if m.n >= tlsHeaderLen {
		want = m.size() - m.n
	}
	n := min(want, len(b))
	if m.n < len(m.head) {
		n = min(n, len(m.head)-m.n)
		copy(m.head[m.n:], b[:n])
	}
	m.n += n
	return n
}

// size returns the length of the message, with its header. The header must have come.
func (m *handshakeMessages) size() int {
	return tlsHeaderLen + int(m.head[1])<<16 + int(m.head[2])<<8 + int(m.head[3])
}

// errTLSBehind is the error of CRYPTO data that TLS has not consumed when it has the keys of the
// next level (RFC 9001, Section 4.1.3 [3]).
func errTLSBehind() error {
	return violation(errProtocolViolation, wire.FrameCrypto, "CRYPTO data behind the last message of its encryption level")
}
