// This module takes the place of quic-go in a program: it has the API of quic-go, and runs on Lazo.
// See docs/from-quic-go.md.
module github.com/quic-go/quic-go

go 1.26.0

require (
	github.com/lazoquic/lazo v0.0.0
	golang.org/x/net v0.62.0
)

require (
	golang.org/x/crypto v0.58.0 // indirect
	golang.org/x/sys v0.49.0 // indirect
	golang.org/x/text v0.43.0 // indirect
)

replace github.com/lazoquic/lazo => ../..
