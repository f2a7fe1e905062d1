// Package nested holds only one test, which runs the tests of the modules inside this one.
//
// Those modules are separate because they require other implementations of QUIC. A requirement in
// go.mod counts in the programs of everyone who imports a package of the module, even if only tests
// need it. A pattern such as ./... ends where another module begins, also in a workspace (go.work),
// and a workspace takes no -mod=mod. So this test starts the go command in each of them, and `go
// test ./...` is complete.
package nested
