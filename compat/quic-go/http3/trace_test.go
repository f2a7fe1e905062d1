package http3_test

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
)

// TestClientTrace: the functions of a trace are called in the order of quic-go. With a Dial of the
// program, those of dialing are up to it.
func TestClientTrace(t *testing.T) {
	addr := serve(t, &http3.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusContinue)
	})})
	var calls []string
	called := func(name string) { calls = append(calls, name) }
	trace := &httptrace.ClientTrace{
		GetConn: func(string) { called("GetConn") },
		GotConn: func(info httptrace.GotConnInfo) {
			called("GotConn")
			local := info.Conn.LocalAddr().(*net.UDPAddr)
			if got := info.Conn.RemoteAddr().String(); got != addr || !local.IP.IsUnspecified() {
				t.Errorf("a connection from %s to %s, and not from the socket to %s", local, got, addr)
			}
			for name, f := range map[string]func(){
				"Close":            func() { info.Conn.Close() },
				"Read":             func() { info.Conn.Read(make([]byte, 1)) },
				"Write":            func() { info.Conn.Write(make([]byte, 1)) },
				"SetDeadline":      func() { info.Conn.SetDeadline(time.Now()) },
				"SetReadDeadline":  func() { info.Conn.SetReadDeadline(time.Now()) },
				"SetWriteDeadline": func() { info.Conn.SetWriteDeadline(time.Now()) },
			} {
				if !panics(f) {
					t.Errorf("%s of the connection does not panic", name)
				}
			}
		},
		ConnectStart:      func(string, string) { called("ConnectStart") },
		TLSHandshakeStart: func() { called("TLSHandshakeStart") },
		TLSHandshakeDone: func(state tls.ConnectionState, err error) {
			called("TLSHandshakeDone")
			if err != nil || len(state.PeerCertificates) != 1 {
				t.Errorf("TLSHandshakeDone has %d certificates, %v", len(state.PeerCertificates), err)
			}
		},
		ConnectDone:  func(string, string, error) { called("ConnectDone") },
		WroteHeaders: func() { called("WroteHeaders") },
		Got1xxResponse: func(code int, _ textproto.MIMEHeader) error {
			called(strconv.Itoa(code))
			return nil
		},
		Got100Continue: func() { called("Got100Continue") },
	}
	own := func(ctx context.Context, addr string, tc *tls.Config, qc *quic.Config) (*quic.Conn, error) {
		if httptrace.ContextClientTrace(ctx) != trace {
			t.Error("Dial does not get the trace of the program")
		}
		return quic.DialAddr(ctx, addr, tc, qc)
	}
	for _, c := range []struct {
		tr   *http3.Transport
		want []string
	}{
		{&http3.Transport{}, []string{"GetConn", "ConnectStart", "TLSHandshakeStart", "TLSHandshakeDone", "ConnectDone", "GotConn", "WroteHeaders", "100", "Got100Continue"}},
		{&http3.Transport{Dial: own}, []string{"GetConn", "GotConn", "WroteHeaders", "100", "Got100Continue"}},
	} {
		calls = nil
		c.tr.TLSClientConfig = clientTLS
		r := request(t, http.MethodGet, "https://"+addr)
		resp, err := c.tr.RoundTrip(r.WithContext(httptrace.WithClientTrace(r.Context(), trace)))
		check(t, err)
		check(t, resp.Body.Close())
		check(t, c.tr.Close())
		if !slices.Equal(calls, c.want) {
			t.Errorf("called %v, and not %v", calls, c.want)
		}
	}
}

func panics(f func()) (yes bool) {
	defer func() { yes = recover() != nil }()
	f()
	return false
}
