package http3

import (
	"bytes"
	"crypto/tls"

	"github.com/lazoquic/lazo/h3"
)

// ConfigureTLSConfig returns a copy of tlsConf for a quic.Listener of HTTP/3. It changes the
// configurations that GetConfigForClient returns in the same way.
func ConfigureTLSConfig(tlsConf *tls.Config) *tls.Config { return configureTLS(tlsConf, nil) }

// configureTLS is ConfigureTLSConfig. If cfg is not nil, the sessions have its settings with them.
func configureTLS(tlsConf *tls.Config, cfg *h3.Config) *tls.Config {
	own := tlsConf.GetConfigForClient
	tlsConf = forHTTP3(tlsConf)
	if cfg != nil {
		keepSettings(tlsConf, cfg)
	}
	if own != nil {
		tlsConf.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			c, err := own(hello)
			if c == nil || err != nil {
				return nil, err
			}
			return configureTLS(c, cfg), nil
		}
	}
	return tlsConf
}

// settingsTag is what the settings in a session begin with.
const settingsTag = "lazo http3 settings\x00"

// keepSettings puts the settings of cfg into the session tickets of c. Early data relies on those of
// the connection that the ticket comes from: if cfg does not have them any more, it is rejected.
// RFC 9114, Section 7.2.4.2.
func keepSettings(c *tls.Config, cfg *h3.Config) {
	wrap, unwrap := c.WrapSession, c.UnwrapSession
	if wrap == nil {
		wrap = c.EncryptTicket
	}
	if unwrap == nil {
		unwrap = c.DecryptTicket
	}
	c.WrapSession = func(cs tls.ConnectionState, s *tls.SessionState) ([]byte, error) {
		s.Extra = append(s.Extra, append([]byte(settingsTag), cfg.TicketData()...))
		return wrap(cs, s)
	}
	c.UnwrapSession = func(ticket []byte, cs tls.ConnectionState) (*tls.SessionState, error) {
		s, err := unwrap(ticket, cs)
		if err == nil && s != nil && s.EarlyData {
			s.EarlyData = settingsHold(s, cfg)
		}
		return s, err
	}
}

// settingsHold reports whether cfg still has the settings of a session.
func settingsHold(s *tls.SessionState, cfg *h3.Config) bool {
	for _, b := range s.Extra {
		if b, ok := bytes.CutPrefix(b, []byte(settingsTag)); ok {
			return cfg.AcceptEarlyData(b)
		}
	}
	return false
}

func forHTTP3(c *tls.Config) *tls.Config {
	c.DecryptTicket(nil, tls.ConnectionState{}) // this makes keys of session tickets, which all copies then share
	c = c.Clone()
	c.NextProtos = []string{NextProtoH3}
	c.MinVersion = tls.VersionTLS13
	return c
}
