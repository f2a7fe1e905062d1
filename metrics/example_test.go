package metrics_test

import (
	"fmt"
	"log"
	"net/http"
	"runtime"

	"github.com/lazoquic/lazo/conn/conntest"
	"github.com/lazoquic/lazo/h3/h3http"
	"github.com/lazoquic/lazo/loop"
	"github.com/lazoquic/lazo/metrics"
)

// A server of HTTP/3, and its metrics for Prometheus.
func Example() {
	srv := &h3http.Server{
		Handler:   http.FileServer(http.Dir(".")),
		TLSConfig: conntest.ServerTLS(), // the certificate of a test
	}
	var m metrics.Metrics
	cfg := srv.LoopConfig()
	m.Observe(cfg)
	group, err := loop.Listen("udp", "127.0.0.1:0", runtime.GOMAXPROCS(0), cfg)
	if err != nil {
		log.Fatal(err)
	}
	defer group.Close()
	m.AddGroup(group)
	m.AddServer(srv)

	mux := http.NewServeMux()
	mux.Handle("GET /metrics", &m) // on an address that only Prometheus reaches
	for _, f := range m.Gather() {
		if f.Name == "http3_requests_total" {
			fmt.Println(f.Name, f.Samples[0].Value)
		}
	}
	// Output: http3_requests_total 0
}
