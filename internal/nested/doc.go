// Package nested holds one test alone, which runs the tests of the modules inside this one.
//
// Those modules are apart because of what they require: other implementations of QUIC. A go.mod
// counts in the programs of everyone who imports its packages, tests or not. A pattern such as
// ./... ends where another module begins, in a workspace (go.work) too, and a workspace takes no
// -mod=mod. So a test that starts the go command there is what makes `go test ./...` complete.
package nested
