package interop

import (
	"fmt"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/quic-go/quic-go/http3"

	"github.com/lazoquic/lazo/h3/h3http"
	"github.com/lazoquic/lazo/internal/require"
)

// TestHTTPAltSvc asks a server over TCP, and follows its offer of HTTP/3 to quic-go's server.
func TestHTTPAltSvc(t *testing.T) {
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Proto) })
	server, client := tlsConfigs(t)
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	require.NoError(t, err)
	defer pc.Close()
	over3 := &http3.Server{Handler: h, TLSConfig: http3.ConfigureTLSConfig(server.Clone())}
	served := make(chan error, 2)
	go func() { served <- over3.Serve(pc) }()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	over2 := &http.Server{TLSConfig: server.Clone(), Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		over3.SetQUICHeaders(w.Header())
		h.ServeHTTP(w, r)
	})}
	go func() { served <- over2.ServeTLS(ln, "", "") }()
	tr := &h3http.AltSvcTransport{
		HTTP:      &http.Transport{TLSClientConfig: client, ForceAttemptHTTP2: true},
		HeadStart: time.Minute,
	}
	c := &http.Client{Transport: tr, Timeout: time.Minute}
	var got []string
	// The offer names the address of quic-go's server, which is known only after Serve has begun.
	for len(got) < 2 || got[len(got)-1] != "HTTP/3.0" {
		resp, err := c.Get("https://" + ln.Addr().String())
		require.NoError(t, err)
		got = append(got, resp.Proto)
		resp.Body.Close()
	}
	require.Equal(t, "HTTP/2.0", got[0])
	require.NoError(t, tr.Close())
	require.NoError(t, over2.Close())
	require.NoError(t, over3.Close())
	<-served
	<-served
}
