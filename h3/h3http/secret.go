package h3http

import (
	"crypto/hkdf"
	"crypto/sha256"
	"fmt"

	"github.com/lazoquic/lazo/conn"
)

// minSecret is how long a Server.Secret has to be, in bytes.
const minSecret = 16

// checkSecret returns an error if Secret is set but too short.
func (s *Server) checkSecret() error {
	if n := len(s.Secret); n > 0 && n < minSecret {
		return fmt.Errorf("h3http: Server.Secret has %d bytes, and needs %d", n, minSecret)
	}
	return nil
}

// setKeys derives the keys of an endpoint from Secret. The keys of session tickets follow from
// TokenKeys.
func (s *Server) setKeys(cfg *conn.EndpointConfig) {
	if len(s.Secret) == 0 {
		return
	}
	cfg.ResetKey = s.deriveKey("lazo stateless reset")
	cfg.TokenKeys = [][32]byte{s.deriveKey("lazo token")}
}

// deriveKey derives the key for one use from Secret (RFC 5869).
func (s *Server) deriveKey(use string) (key [32]byte) {
	b, err := hkdf.Key(sha256.New, s.Secret, nil, use, len(key))
	if err != nil {
		// impossible: the hash exists and Secret is long enough, even for FIPS 140
		panic("h3http: " + err.Error())
	}
	copy(key[:], b)
	return key
}
