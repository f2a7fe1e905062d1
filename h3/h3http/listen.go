package h3http

import (
	"crypto/tls"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/h3"
)

// nextProto is the ALPN identifier of HTTP/3 (RFC 9114, Section 3.1).
const nextProto = "h3"

// withCertificate returns a copy of tc with cert in front of the other certificates. tc may be nil.
func withCertificate(tc *tls.Config, cert tls.Certificate) *tls.Config {
	if tc == nil {
		tc = new(tls.Config)
	}
	tc = tc.Clone()
	tc.Certificates = append([]tls.Certificate{cert}, tc.Certificates...)
	return tc
}

// serverTLS adapts a configuration that may be made for TCP, and the results of its
// GetConfigForClient. It takes a copy of tc, because others may go on changing tc. An [http.Server]
// does so when it starts.
func serverTLS(tc *tls.Config) *tls.Config {
	own := tc.GetConfigForClient
	tc = adaptTLS(tc)
	if own != nil {
		tc.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			c, err := own(hello)
			if c == nil || err != nil {
				return nil, err
			}
			return adaptTLS(c), nil
		}
	}
	return tc
}

// adaptTLS returns a copy of tc for QUIC (RFC 9001, Section 4.2).
func adaptTLS(tc *tls.Config) *tls.Config {
	tc = tc.Clone()
	tc.NextProtos = []string{nextProto}
	tc.MinVersion = tls.VersionTLS13
	if tc.MaxVersion < tls.VersionTLS13 {
		tc.MaxVersion = 0
	}
	return tc
}

// quicConfig returns the configuration of connections whose TLS is tc.
func (s *Server) quicConfig(tc *tls.Config) *conn.Config {
	var cfg conn.Config
	if s.QUICConfig != nil {
		cfg = *s.QUICConfig
	}
	if tc != nil {
		cfg.TLS = serverTLS(tc)
	}
	h := s.h3Config()
	if cfg.TicketData == nil && cfg.AcceptEarlyData == nil {
		cfg.TicketData, cfg.AcceptEarlyData = h.TicketData(), h.AcceptEarlyData
	}
	if h.Datagrams && cfg.MaxDatagramFrameSize == 0 {
		cfg.MaxDatagramFrameSize = maxDatagramFrame
	}
	fitFrames(&cfg)
	return &cfg
}

// minUnsent is room for a frame of any length, and a byte of it.
const minUnsent = 16

// fitFrames makes streams take what HTTP/3 writes in one go.
func fitFrames(cfg *conn.Config) {
	if cfg.UnsentBytes > 0 {
		cfg.UnsentBytes = max(cfg.UnsentBytes, minUnsent)
	}
}

// maxDatagramFrame is large enough for every DATAGRAM frame (RFC 9221, Section 3 [5]).
const maxDatagramFrame = 65535

// h3Config returns the configuration of HTTP/3.
func (s *Server) h3Config() *h3.Config {
	cfg := h3.Config{Datagrams: true} // RFC 9297, Section 2.1.1 [6]
	if s.H3Config != nil {
		cfg = *s.H3Config
	}
	cfg.ExtendedConnect = cfg.ExtendedConnect || s.ExtendedConnect
	if cfg.MaxFieldSectionSize == 0 {
		cfg.MaxFieldSectionSize = int64(s.maxHeaderBytes())
	}
	if cfg.MaxFields == 0 {
		cfg.MaxFields = s.MaxFields
	}
	return &cfg
}
