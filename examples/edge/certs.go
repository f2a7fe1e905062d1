package main

import (
	"crypto/tls"
	"errors"
	"os"
	"slices"
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
	c := &certificates{files: files}
	c.seen = stateOf(c.names())
	return c, c.load()
}

// names returns the names of all files.
func (c *certificates) names() (names []string) {
	for _, pair := range c.files {
		names = append(names, pair.Cert, pair.Key)
	}
	return names
}

// stateOf looks at all files. One that cannot be seen has the zero state.
func stateOf(names []string) (states []fileState) {
	for _, name := range names {
		var s fileState
		if info, err := os.Stat(name); err == nil {
			s = fileState{info.Size(), info.ModTime()}
		}
		states = append(states, s)
	}
	return states
}

// changedFiles reports whether any file is not as it was seen, and how they are now.
func changedFiles(seen []fileState, names []string) (changed bool, now []fileState) {
	now = stateOf(names)
	return !slices.Equal(seen, now), now
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
	if changed, c.seen = changedFiles(c.seen, c.names()); !changed {
		return false, nil
	}
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
