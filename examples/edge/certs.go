package main

import (
	"crypto/tls"
	"errors"
	"sync/atomic"
)

// certificates are the key pairs of a site, the default first.
type certificates struct {
	*watch
	pairs atomic.Pointer[[]tls.Certificate]
}

func loadCertificates(files []keyPair) (c *certificates, err error) {
	c = new(certificates)
	var names []string
	for _, f := range files {
		names = append(names, f.Cert, f.Key)
	}
	c.watch, err = newWatch("certificates", func() error { return c.load(files) }, names...)
	return c, err
}

func (c *certificates) load(files []keyPair) error {
	var pairs []tls.Certificate
	for _, f := range files {
		pair, err := tls.LoadX509KeyPair(f.Cert, f.Key)
		if err != nil {
			return err
		}
		pairs = append(pairs, pair)
	}
	c.pairs.Store(&pairs)
	return nil
}

// choose returns the first certificate for the name that a client asks for, or the first of all.
func (c *certificates) choose(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	pairs := *c.pairs.Load()
	if len(pairs) == 0 {
		return nil, errors.New("edge: no certificate")
	}
	for i := range pairs {
		if hello.SupportsCertificate(&pairs[i]) == nil {
			return &pairs[i], nil
		}
	}
	return &pairs[0], nil
}
