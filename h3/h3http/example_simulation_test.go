package h3http_test

import (
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lazoquic/lazo/conn/conntest"
	"github.com/lazoquic/lazo/h3/h3http"
	"github.com/lazoquic/lazo/loop"
	"github.com/lazoquic/lazo/loop/looptest"
)

// A handler and a client on a simulated network, in virtual time: that they wait for
// each other across a satellite costs the test nothing. In a test it is called with the
// test's own t.
func Example_simulation() {
	var t *testing.T
	overSatellite(t)
}

func overSatellite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := looptest.New(t, 1, conntest.Link{Delay: 300 * time.Millisecond, Rate: 10e6, Loss: 0.01})
		srv := &h3http.Server{
			TLSConfig: conntest.ServerTLS(),
			Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				time.Sleep(time.Second)
				w.Write(make([]byte, 100_000))
			}),
		}
		go srv.Serve(network.Listen("10.0.0.1:443"))
		defer srv.Close()
		g, err := loop.New(nil, network.Listen("10.0.0.2:5000"))
		if err != nil {
			t.Fatal(err)
		}
		defer g.Close()
		tr := &h3http.Transport{TLSClientConfig: conntest.ClientTLS(), Dial: g.Dial}
		defer tr.Close()

		start := time.Now()
		resp, err := (&http.Client{Transport: tr}).Get("https://10.0.0.1/")
		if err != nil {
			t.Fatal(err)
		}
		n, err := io.Copy(io.Discard, resp.Body)
		if took := time.Since(start); n != 100_000 || err != nil || took < 2*time.Second || took > 10*time.Second {
			t.Errorf("read %d bytes in %v, %v", n, took, err)
		}
		resp.Body.Close()
	})
}
