package main

import (
	"crypto/tls"
	"errors"
	"sync/atomic"

	"github.com/lazoquic/lazo/examples/internal/filestamp"
)

// certificates are the key pairs of a site, the default first.
type certificates struct {
	files []keyPair
	pairs atomic.Pointer[[]tls.Certificate]
	seen  string // stamp of the files when pairs were read; for refresh alone
}

func loadCertificates(files []keyPair) (*certificates, error) {
	c := &certificates{files: files}
	c.seen = filestamp.Of(c.names())
	return c, c.load()
}

// names returns the names of all files.
func (c *certificates) names() (names []string) {
	for _, pair := range c.files {
		names = append(names, pair.Cert, pair.Key)
	}
	return names
}

func (c *certificates) load() error {
	var pairs []tls.Certificate
	for _, f := range c.files {
		pair, err := tls.LoadX509KeyPair(f.Cert, f.Key)
		if err != nil {
			return err
		}
		pairs = append(pairs, pair)
	}
	c.pairs.Store(&pairs)
	return nil
}

// refresh loads the files again if any has changed. An error, such as that of a certificate whose
// key is still to come, changes nothing. The next change of a file is another try.
func (c *certificates) refresh() (changed bool, err error) {
	now := filestamp.Of(c.names())
	if now == c.seen {
		return false, nil
	}
	c.seen = now
	return true, c.load()
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
