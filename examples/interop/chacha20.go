package main

import (
	"crypto/tls"
	_ "unsafe" // for linkname
)

// A tls.Config cannot choose the cipher suites that crypto/tls offers in TLS 1.3, but crypto/tls
// lets linkname reach the lists.

//go:linkname tls13Suites crypto/tls.defaultCipherSuitesTLS13
var tls13Suites []uint16

//go:linkname tls13SuitesNoAES crypto/tls.defaultCipherSuitesTLS13NoAES
var tls13SuitesNoAES []uint16

// offerOnlyChaCha20 is for the whole process.
func offerOnlyChaCha20() {
	only := []uint16{tls.TLS_CHACHA20_POLY1305_SHA256}
	tls13Suites, tls13SuitesNoAES = only, only
}
