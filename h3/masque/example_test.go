package masque_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/netip"
	"time"

	"github.com/lazoquic/lazo/conn/conntest"
	"github.com/lazoquic/lazo/h3/h3http"
	"github.com/lazoquic/lazo/h3/masque"
	"github.com/lazoquic/lazo/loop"
)

// serve runs srv on a loopback socket for an example, and returns its URL.
func serve(srv *h3http.Server) (url string, stop func()) {
	srv.TLSConfig = conntest.ServerTLS()
	g, err := loop.Listen("udp", "127.0.0.1:0", 1, srv.LoopConfig())
	if err != nil {
		log.Fatal(err)
	}
	return "https://" + g.LocalAddr().String(), func() {
		srv.Close()
		g.Close()
	}
}

// A proxy for those who know the password, next to other pages. By default it reaches
// public addresses only; this one reaches its own machine only.
func ExampleProxy() {
	proxy := &masque.Proxy{
		Allow: func(r *http.Request, target netip.AddrPort) bool { return target.Addr().IsLoopback() },
	}
	defer proxy.Close()
	mux := http.NewServeMux()
	mux.HandleFunc("/.well-known/masque/udp/", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Proxy-Authorization") != "Bearer secret" {
			http.Error(w, "who are you?", http.StatusProxyAuthRequired)
			return
		}
		proxy.ServeHTTP(w, r)
	})
	srv := &h3http.Server{Handler: mux}
	proxy.Configure(srv)
	url, stop := serve(srv)
	defer stop()

	// Somebody who answers over UDP.
	target, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	defer target.Close()
	go func() {
		b := make([]byte, 1500)
		if n, from, err := target.ReadFrom(b); err == nil {
			target.WriteTo(fmt.Appendf(nil, "hello, %s", b[:n]), from)
		}
	}()

	tr := &h3http.Transport{TLSClientConfig: conntest.ClientTLS()}
	defer tr.Close()
	client := &masque.Client{Transport: tr, Proxy: url}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	_, err = client.Dial(ctx, target.LocalAddr().String())
	fmt.Println(err)

	client = &masque.Client{Transport: tr, Proxy: url, Header: http.Header{"Proxy-Authorization": {"Bearer secret"}}}
	c, err := client.Dial(ctx, target.LocalAddr().String())
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	fmt.Fprint(c, "world")
	b := make([]byte, 1500)
	n, err := c.Read(b)
	fmt.Println(string(b[:n]), err)
	// Output:
	// masque: the proxy refused with status 407
	// hello, world <nil>
}

// HTTP/3 to an origin by way of a proxy, which sees neither the requests nor the keys.
func ExampleClient_DialQUIC() {
	origin, stop := serve(&h3http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, "hello over ", r.Proto)
	})})
	defer stop()
	proxy := &masque.Proxy{Allow: func(*http.Request, netip.AddrPort) bool { return true }}
	defer proxy.Close()
	srv := &h3http.Server{Handler: proxy}
	proxy.Configure(srv)
	url, stop := serve(srv)
	defer stop()

	// conntest has certificates for tests. By default those of the system are trusted.
	toProxy := &h3http.Transport{TLSClientConfig: conntest.ClientTLS()}
	defer toProxy.Close()
	tunnels := &masque.Client{Transport: toProxy, Proxy: url}
	tr := &h3http.Transport{TLSClientConfig: conntest.ClientTLS(), Dial: tunnels.DialQUIC}
	defer tr.Close()
	resp, err := (&http.Client{Transport: tr, Timeout: 10 * time.Second}).Get(origin)
	if err != nil {
		log.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	fmt.Println(string(b), err, proxy.Stats().Opened)
	// Output: hello over HTTP/3.0 <nil> 1
}
