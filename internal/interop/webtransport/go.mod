// This module is apart because webtransport-go needs an older quic-go than the tests
// of the main module.
module github.com/lazoquic/lazo/internal/interop/webtransport

go 1.26.0

require (
	github.com/lazoquic/lazo v0.0.0
	github.com/quic-go/quic-go v0.65.0
	github.com/quic-go/webtransport-go v0.13.0
)

require (
	github.com/dunglas/httpsfv v1.1.1 // indirect
	github.com/quic-go/qpack v0.6.0 // indirect
	golang.org/x/crypto v0.58.0 // indirect
	golang.org/x/net v0.62.0 // indirect
	golang.org/x/sys v0.49.0 // indirect
	golang.org/x/text v0.43.0 // indirect
)

replace (
	github.com/lazoquic/lazo => ../../..
	github.com/quic-go/quic-go => github.com/quic-go/quic-go v0.62.0
)
