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
	cfg.TLS.KeyLogWriter = out.KeyLog()
	g, err := loop.Listen("udp", ":4433", 2, &loop.Config{
		Endpoint:    conn.EndpointConfig{Server: cfg},
		WrapBackend: out.Wrap,
	})
	if err != nil {
		log.Fatal(err)
	}
	g.Shutdown(context.Background())
	if err := out.Flush(); err != nil {
		log.Print(err)
	}
}
