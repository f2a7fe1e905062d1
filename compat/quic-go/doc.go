// Package quic has the API of quic-go, and is made of Lazo: a program that imports quic-go runs on
// Lazo with one line in its go.mod. It translates calls, and holds no protocol.
//
// What differs from quic-go is in missing.md, beside this file.
package quic
