package http3

import "crypto/tls"

// ConfigureTLSConfig returns a copy of tlsConf for a quic.Listener of HTTP/3. It changes the
// configurations that GetConfigForClient returns in the same way.
func ConfigureTLSConfig(tlsConf *tls.Config) *tls.Config {
	own := tlsConf.GetConfigForClient
	tlsConf = forHTTP3(tlsConf)
	if own != nil {
		tlsConf.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			c, err := own(hello)
			if c == nil || err != nil {
				return nil, err
			}
			return forHTTP3(c), nil
		}
	}
	return tlsConf
}

func forHTTP3(c *tls.Config) *tls.Config {
	c.DecryptTicket(nil, tls.ConnectionState{}) // this makes keys of session tickets, which all copies then share
	c = c.Clone()
	c.NextProtos = []string{NextProtoH3}
	c.MinVersion = tls.VersionTLS13
	return c
}
