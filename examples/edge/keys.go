package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync/atomic"
	"time"

	"github.com/lazoquic/lazo/conn/quiclb"
)

// minSecret is the least length of a secret, in bytes.
const minSecret = 16

// keys are the keys that replicas share. They can change while the edge runs.
type keys struct {
	*watch
	current atomic.Pointer[keySet]
}

// A keySet has the keys from one reading of the files.
type keySet struct {
	ech     []tls.EncryptedClientHelloKey
	tokens  [][32]byte // of Retry, NEW_TOKEN and session tickets of QUIC; the first seals
	tickets [][32]byte // of session tickets over TCP; the first seals
	lb      []quiclb.Config

	serverID string // in connection IDs, in hexadecimal; empty for random ones
}

// loadKeys reads the files of a configuration.
func loadKeys(c *config) (k *keys, err error) {
	k = new(keys)
	files := slices.Concat(c.ECH, c.Secrets, c.QUICLB.keyFiles())
	k.watch, err = newWatch("keys", func() error { return k.load(c) }, files...)
	return k, err
}

func (k *keys) load(c *config) error {
	var set keySet
	var err error
	if set.ech, err = loadECH(c.ECH); err != nil {
		return err
	}
	for _, name := range c.Secrets {
		secret, err := loadSecret(name)
		if err != nil {
			return err
		}
		set.tokens = append(set.tokens, derive(secret, "edge: tokens of QUIC"))
		set.tickets = append(set.tickets, derive(secret, "edge: session tickets over TCP"))
	}
	if set.lb, err = c.QUICLB.load(); err != nil {
		return err
	}
	if len(set.lb) > 0 {
		set.serverID = hex.EncodeToString(set.lb[0].ServerID)
	} else if c.Katran != nil {
		set.serverID = string(c.Katran.ServerID)
	}
	k.current.Store(&set)
	return nil
}

// loadSecret reads a file of random bytes. Their form does not matter, because derive hashes them.
func loadSecret(name string) ([]byte, error) {
	b, err := os.ReadFile(name)
	if err == nil && len(b) < minSecret {
		err = fmt.Errorf("%s: has %d bytes, needs at least %d", name, len(b), minSecret)
	}
	return b, err
}

// derive returns the key for one purpose.
func derive(secret []byte, purpose string) (key [32]byte) {
	h := hmac.New(sha256.New, secret)
	h.Write([]byte(purpose))
	return [32]byte(h.Sum(nil))
}

// resets has the key of stateless resets. It stays as long as the process runs, because clients
// know tokens that were made with it.
type resets struct {
	*watch
	key [32]byte // zero for a random one
}

func loadResets(c *config) (r *resets, err error) {
	r = new(resets)
	if r.key, err = resetKey(c); err != nil {
		return nil, err
	}
	r.watch, err = newWatch("stateless resets", func() error { return r.check(c) }, resetFiles(c)...)
	return r, err
}

// check returns an error if a configuration would need another key.
func (r *resets) check(c *config) error {
	key, err := resetKey(c)
	if err == nil && key != r.key {
		err = errors.New("edge: reset_secret cannot change without a restart")
	}
	return err
}

func resetFiles(c *config) []string {
	if c.ResetSecret == "" {
		return nil
	}
	return []string{c.ResetSecret}
}

// resetKey returns the key of stateless resets. The zero key stands for a random one.
func resetKey(c *config) (key [32]byte, err error) {
	if c.ResetSecret == "" {
		return key, nil
	}
	secret, err := loadSecret(c.ResetSecret)
	if err != nil {
		return key, err
	}
	return derive(secret, "edge: stateless resets"), nil
}

// useKeys makes new connections use the keys of the current site.
func (e *edge) useKeys() {
	set := e.site.Load().keys.current.Load()
	e.lb.change(e.udp, set.lb)
	if len(set.tokens) == 0 {
		return // the keys that were drawn at the start stay in use
	}
	e.tcpTLS.SetSessionTicketKeys(set.tickets)
	for _, l := range e.udp.Loops() {
		l.Post(func(time.Time) { l.Endpoint().SetTokenKeys(set.tokens) })
	}
}

// echKeys is the GetEncryptedClientHelloKeys of all connections.
func (e *edge) echKeys(*tls.ClientHelloInfo) ([]tls.EncryptedClientHelloKey, error) {
	return e.site.Load().keys.current.Load().ech, nil
}

// checkKeys reads the files of keys, and returns what is wrong with them.
func (c *config) checkKeys() error {
	for i, name := range c.ECH {
		if _, err := loadECH([]string{name}); err != nil {
			return c.file.Errorf(fmt.Sprintf("ech[%d]", i), "%v", err)
		}
	}
	for i, name := range c.Secrets {
		if _, err := loadSecret(name); err != nil {
			return c.file.Errorf(fmt.Sprintf("secrets[%d]", i), "%v", err)
		}
	}
	if _, err := resetKey(c); err != nil {
		return c.file.Errorf("reset_secret", "%v", err)
	}
	if err := c.checkKatran(); err != nil {
		return err
	}
	return c.checkLB()
}
