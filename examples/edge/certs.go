package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
)

// certificates are the key pairs of a site, the default first.
type certificates struct {
	pairs []tls.Certificate
}

func loadCertificates(files []keyPair) (*certificates, error) {
	c := new(certificates)
	for _, f := range files {
		pair, err := tls.LoadX509KeyPair(f.Cert, f.Key)
		if err != nil {
			return nil, err
		}
		if pair.Leaf, err = x509.ParseCertificate(pair.Certificate[0]); err != nil {
			return nil, err
		}
		c.pairs = append(c.pairs, pair)
	}
	return c, nil
}

// choose returns the first certificate for the name that a client asks for, or the first of all.
func (c *certificates) choose(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	if len(c.pairs) == 0 {
		return nil, errors.New("edge: no certificate")
	}
	for i := range c.pairs {
		if hello.SupportsCertificate(&c.pairs[i]) == nil {
			return &c.pairs[i], nil
		}
	}
	return &c.pairs[0], nil
}
