package main

import (
	"crypto/tls"
	"errors"
	"os"
	"sync/atomic"
	"time"
)

// certificates are the key pairs of a site, the default first.
type certificates struct {
	files []keyPair
	pairs atomic.Pointer[[]tls.Certificate]
	seen  []fileState // of files when pairs were read; for refresh alone
}

// A fileState tells whether a file has changed.
type fileState struct {
	size     int64
	modified time.Time
}

func loadCertificates(files []keyPair) (*certificates, error) {
	c := &certificates{files: files, seen: stateOf(files)}
	return c, c.load()
}

// stateOf looks at all files. One that cannot be seen has the zero state.
func stateOf(files []keyPair) (states []fileState) {
	for _, pair := range files {
		for _, name := range []string{pair.Cert, pair.Key} {
			var s fileState
			if info, err := os.Stat(name); err == nil {
				s = fileState{info.Size(), info.ModTime()}
			}
			states = append(states, s)
		}
	}
	return states
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
	now := stateOf(c.files)
	for i, s := range now {
		changed = changed || s != c.seen[i]
	}
	if !changed {
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
