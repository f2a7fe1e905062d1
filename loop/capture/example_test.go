package capture_test

import (
	"context"
	"log"
	"os"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/conntest"
	"github.com/lazoquic/lazo/loop"
	"github.com/lazoquic/lazo/loop/capture"
)

// A server that writes all its connections to a file for Wireshark.
func Example() {
	file, err := os.Create("/tmp/server.pcapng")
	if err != nil {
		log.Fatal(err)
	}
	defer file.Close()
	out := capture.New(file)
	cfg := conntest.ServerConfig()
	lc := &loop.Config{Endpoint: conn.EndpointConfig{Server: cfg}}
	out.Attach(cfg.TLS, lc)
	g, err := loop.Listen("udp", ":4433", 2, lc)
	if err != nil {
		log.Fatal(err)
	}
	g.Shutdown(context.Background())
	if err := out.Flush(); err != nil {
		log.Print(err)
	}
}
