// Package nethttp runs the tests that Go has for net/http with Lazo as its HTTP/3.
//
// Go 1.27 has hooks for HTTP/3 in net/http, and tests that go through them to an implementation in
// golang.org/x/net. TestSuite makes a copy of GOROOT in which package h3/h3http/nethttp takes the
// place of that one, and runs the tests there. Nothing of Go's is in this directory.
package nethttp
