package main

import (
	"fmt"
	"io"
	"net"
	"net/http"

	"github.com/lazoquic/lazo/examples/internal/usage"
	"github.com/lazoquic/lazo/loop"
	"github.com/lazoquic/lazo/loop/debug"
)

// debugPages are the pages of the flag -debug, on an HTTP server of their own.
type debugPages struct {
	debug.Pages
	addr string // "" for none
	ln   net.Listener
}

// check looks at the flag.
func (d *debugPages) check() error {
	if d.addr == "" {
		return nil
	}
	return usage.Address("debug", d.addr)
}

// observe remembers how the connections of a Group end.
func (d *debugPages) observe(cfg *loop.Config) {
	if d.addr != "" {
		d.Observe(cfg)
	}
}

// serve serves pages about the connections of g, and prints their URL.
func (d *debugPages) serve(g *loop.Group, stdout io.Writer) (err error) {
	if d.addr == "" {
		return nil
	}
	if d.ln, err = net.Listen("tcp", d.addr); err != nil {
		return err
	}
	d.AddGroup(g)
	mux := http.NewServeMux()
	mux.Handle("/debug/quic/", &d.Pages)
	go http.Serve(d.ln, mux) // until close
	fmt.Fprintf(stdout, "pages about its connections: http://%v/debug/quic/\n", d.ln.Addr())
	return nil
}

func (d *debugPages) close() {
	if d.ln != nil {
		d.ln.Close()
	}
}
