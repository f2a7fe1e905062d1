package main

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/lazoquic/lazo/examples/internal/usage"
)

// numbers returns an error if list is not empty and has anything but positive numbers.
func numbers(name, list string) error {
	for s := range strings.SplitSeq(list, ",") {
		if n, err := strconv.Atoi(s); list != "" && (err != nil || n < 1) {
			return usage.Errorf("-%s %q: want numbers like 1,2,8", name, list)
		}
	}
	return nil
}

// vary makes several contenders of each, as -loops and -procs say.
func (c *comparison) vary() {
	if c.loops != "" {
		c.multiply(c.loops, func(p *contender, n string) bool {
			if p.path != c.self || len(p.server) == 0 || p.name == "tls" || p.name == "net/http http2" {
				return false
			}
			p.name += " loops=" + n
			p.server = append(p.server[:len(p.server):len(p.server)], "-loops", n)
			return true
		})
	}
	if c.procs != "" {
		c.multiply(c.procs, func(p *contender, n string) bool {
			p.name += " procs=" + n
			p.env = append(p.env, "GOMAXPROCS="+n)
			return true
		})
	}
}

// multiply has each contender once for each number of a list, if change takes it.
func (c *comparison) multiply(list string, change func(p *contender, n string) bool) {
	var all []contender
	for _, p := range c.contenders {
		for n := range strings.SplitSeq(list, ",") {
			other := p
			taken := change(&other, n)
			if all = append(all, other); !taken {
				break
			}
		}
	}
	c.contenders = all
}

// rsaFlags makes a certificate with RSA-2048, and returns the flags of a server for its files.
func rsaFlags(dir string) ([]string, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().AddDate(0, 0, 13), DNSNames: []string{"localhost"}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	flags := []string{"--cert", filepath.Join(dir, "cert.pem"), "--key", filepath.Join(dir, "key.pem")}
	for i, b := range []*pem.Block{{Type: "CERTIFICATE", Bytes: der}, {Type: "PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(flags[2*i+1], pem.EncodeToMemory(b), 0o600); err != nil {
			return nil, err
		}
	}
	return flags, nil
}
