package main

import (
	"bytes"
	"crypto/ecdh"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
)

// The types of PEM blocks in a file of ECH keys. OpenSSL, nginx and HAProxy read such files, too.
const (
	pemPrivateKey = "PRIVATE KEY"
	pemECHConfig  = "ECHCONFIG" // an ECHConfigList
)

// maxName is the length of the longest name in DNS, in bytes (RFC 1035, Section 2.3.4).
const maxName = 253

// outerName matches the names that clients accept. They have several labels.
var outerName = regexp.MustCompile(`^([A-Za-z0-9-]{1,63}\.){1,8}[A-Za-z0-9-]{1,63}$`)

const echVersion = 0xfe0d // RFC 9849, Section 4

// loadECH reads files. Each has a private key and its ECHConfigs. A client that uses an unknown
// config gets those of the first file.
func loadECH(files []string) (keys []tls.EncryptedClientHelloKey, err error) {
	for i, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		of, err := parseECH(text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		for _, k := range of {
			k.SendAsRetry = i == 0
			keys = append(keys, k)
		}
	}
	return keys, nil
}

// parseECH reads the text of one file.
func parseECH(text []byte) (keys []tls.EncryptedClientHelloKey, err error) {
	var private *ecdh.PrivateKey
	var list []byte
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		switch block.Type {
		case pemPrivateKey:
			key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
			if err != nil {
				return nil, err
			}
			var ok bool
			if private, ok = key.(*ecdh.PrivateKey); !ok || private.Curve() != ecdh.X25519() {
				return nil, errors.New("the private key is not an X25519 key")
			}
		case pemECHConfig:
			list = block.Bytes
		}
	}
	if private == nil || list == nil {
		return nil, fmt.Errorf("the file needs a block %s and a block %s", pemPrivateKey, pemECHConfig)
	}
	configs, err := splitECH(list)
	if err != nil {
		return nil, err
	}
	for _, config := range configs {
		if bytes.Contains(config, private.PublicKey().Bytes()) {
			keys = append(keys, tls.EncryptedClientHelloKey{Config: config, PrivateKey: private.Bytes()})
		}
	}
	if len(keys) == 0 {
		return nil, errors.New("no ECHConfig has the public key of the private key")
	}
	return keys, nil
}

// splitECH returns the configs of a list (RFC 9849, Section 4). It leaves out other versions.
func splitECH(list []byte) (configs [][]byte, err error) {
	malformed := errors.New("the ECHConfigList is malformed")
	if len(list) < 2 || int(binary.BigEndian.Uint16(list)) != len(list)-2 {
		return nil, malformed
	}
	for list = list[2:]; len(list) > 0; {
		if len(list) < 4 || len(list) < 4+int(binary.BigEndian.Uint16(list[2:])) {
			return nil, malformed
		}
		n := 4 + int(binary.BigEndian.Uint16(list[2:]))
		if binary.BigEndian.Uint16(list) == echVersion {
			configs = append(configs, list[:n])
		}
		list = list[n:]
	}
	return configs, nil
}

// writeECH writes a new key and its config. Observers of a connection see publicName.
func writeECH(w io.Writer, publicName string) error {
	private, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return err
	}
	var id [1]byte
	rand.Read(id[:])
	list := echConfigList(id[0], private.PublicKey().Bytes(), publicName)
	return errors.Join(
		pem.Encode(w, &pem.Block{Type: pemPrivateKey, Bytes: der}),
		pem.Encode(w, &pem.Block{Type: pemECHConfig, Bytes: list}))
}

// echConfigList returns a list with one config (RFC 9849, Section 4).
func echConfigList(id byte, public []byte, name string) []byte {
	const kemX25519, kdfSHA256, aesGCM, chacha20 = 0x0020, 1, 1, 3 // RFC 9180, Section 7
	u16 := binary.BigEndian.AppendUint16
	c := []byte{id}
	c = u16(c, kemX25519)
	c = append(u16(c, uint16(len(public))), public...)
	c = u16(c, 8) // the length of the cipher suites
	c = u16(u16(c, kdfSHA256), aesGCM)
	c = u16(u16(c, kdfSHA256), chacha20)
	c = append(c, 0) // no maximum length of names is known
	c = append(append(c, byte(len(name))), name...)
	c = u16(c, 0) // no extensions
	list := u16(nil, uint16(4+len(c)))
	list = u16(list, echVersion)
	return append(u16(list, uint16(len(c))), c...)
}
