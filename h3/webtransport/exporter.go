package webtransport

import (
	"encoding/binary"
	"errors"
)

var errExporter = errors.New("webtransport: label and context of keying material have 255 bytes at most, and a label at least one")

// ExportKeyingMaterial returns length bytes that both ends of the session, and nobody else, can
// derive (RFC 8446, Section 7.5; draft-ietf-webtrans-http3-15, Section 4.8). They differ for each
// session, label and context; the context may be empty.
func (s *Session) ExportKeyingMaterial(label string, context []byte, length int) ([]byte, error) {
	if len(label) == 0 || len(label) > 255 || len(context) > 255 {
		return nil, errExporter
	}
	b := binary.BigEndian.AppendUint64(nil, uint64(s.id))
	b = append(append(b, byte(len(label))), label...)
	b = append(append(b, byte(len(context))), context...)
	state := s.m.handle.TLS()
	return state.ExportKeyingMaterial("EXPORTER-WebTransport", b, length)
}
