module github.com/lazoquic/lazo

go 1.26.0

require (
	github.com/dunglas/httpsfv v1.1.1
	github.com/goccy/go-yaml v1.19.2
	golang.org/x/crypto v0.58.0
	golang.org/x/net v0.62.0
	golang.org/x/sys v0.49.0
)

require golang.org/x/text v0.43.0 // indirect
