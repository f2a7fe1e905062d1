// Package quic has the API of quic-go on top of Lazo. A program that imports quic-go runs on
// Lazo with one line in its go.mod. The package translates calls, and implements no protocol.
//
// What differs from quic-go is in missing.md, beside this file.
package quic
