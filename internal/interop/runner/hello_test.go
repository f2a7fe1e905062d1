package runner

import (
	"github.com/lazoquic/lazo/internal/wire"
	"golang.org/x/crypto/cryptobyte"
)

// Types of TLS handshake messages and extensions (RFC 8446, Sections 4 and 4.2; RFC 9001,
// Section 8.2).
const (
	tlsClientHello         = 1
	tlsServerHello         = 2
	tlsEncryptedExtensions = 8
	tlsCertificate         = 11

	extPreSharedKey  = 41
	extEarlyData     = 42
	extQUICTransport = 0x39
)

// A hello is what ClientHello, ServerHello and EncryptedExtensions have in common.
type hello struct {
	random     []byte
	suites     []uint16 // offered, or chosen
	extensions map[uint16][]byte
}

func parseClientHello(body []byte) (h hello, ok bool) {
	s := cryptobyte.String(body)
	var session, compression, suites cryptobyte.String
	if !s.Skip(2) || !s.ReadBytes(&h.random, 32) || !s.ReadUint8LengthPrefixed(&session) ||
		!s.ReadUint16LengthPrefixed(&suites) || !s.ReadUint8LengthPrefixed(&compression) {
		return h, false
	}
	for !suites.Empty() {
		var suite uint16
		if !suites.ReadUint16(&suite) {
			return h, false
		}
		h.suites = append(h.suites, suite)
	}
	return h, h.readExtensions(&s)
}

func parseServerHello(body []byte) (h hello, ok bool) {
	s := cryptobyte.String(body)
	var session cryptobyte.String
	h.suites = make([]uint16, 1)
	if !s.Skip(2) || !s.ReadBytes(&h.random, 32) || !s.ReadUint8LengthPrefixed(&session) ||
		!s.ReadUint16(&h.suites[0]) || !s.Skip(1) {
		return h, false
	}
	return h, h.readExtensions(&s)
}

func parseEncryptedExtensions(body []byte) (h hello, ok bool) {
	s := cryptobyte.String(body)
	return h, h.readExtensions(&s)
}

func (h *hello) readExtensions(s *cryptobyte.String) bool {
	h.extensions = make(map[uint16][]byte)
	var all cryptobyte.String
	if !s.ReadUint16LengthPrefixed(&all) {
		return false
	}
	for !all.Empty() {
		var typ uint16
		var body cryptobyte.String
		if !all.ReadUint16(&typ) || !all.ReadUint16LengthPrefixed(&body) {
			return false
		}
		h.extensions[typ] = body
	}
	return true
}

// has reports whether there is an extension.
func (h *hello) has(extension uint16) bool {
	_, ok := h.extensions[extension]
	return ok
}

// params returns the transport parameters.
func (h *hello) params(fromServer bool) (wire.Params, error) {
	return wire.ParseParams(h.extensions[extQUICTransport], fromServer)
}
