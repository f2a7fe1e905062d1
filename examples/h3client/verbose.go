package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"slices"
	"strings"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/h3/h3http"
)

// withTrace has the connection, its handshake and what is sent written to w, in the
// way of curl: "*" for remarks, ">" for what goes out, "<" for what comes in.
func withTrace(ctx context.Context, w io.Writer) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		TLSHandshakeDone: func(state tls.ConnectionState, err error) {
			if err == nil {
				printTLS(w, &state)
			}
		},
		GotConn: func(info httptrace.GotConnInfo) {
			word := "Connected to"
			if info.Reused {
				word = "Using the connection to"
			}
			fmt.Fprintf(w, "* %s %v from %v over QUIC\n", word, info.Conn.RemoteAddr(), info.Conn.LocalAddr())
		},
		WroteHeaderField: func(key string, values []string) {
			for _, value := range values {
				fmt.Fprintf(w, "> %s: %s\n", key, value)
			}
		},
		WroteHeaders: func() { fmt.Fprintln(w, ">") },
		Got1xxResponse: func(code int, header textproto.MIMEHeader) error {
			fmt.Fprintf(w, "< HTTP/3 %d %s\n", code, http.StatusText(code))
			printHeader(w, http.Header(header))
			fmt.Fprintln(w, "<")
			return nil
		},
	})
}

func printTLS(w io.Writer, state *tls.ConnectionState) {
	if !state.HandshakeComplete {
		fmt.Fprintln(w, "* Sending early data")
		return
	}
	fmt.Fprintf(w, "* %s, %s, %v, ALPN %s", tls.VersionName(state.Version),
		tls.CipherSuiteName(state.CipherSuite), state.CurveID, state.NegotiatedProtocol)
	if state.DidResume {
		fmt.Fprint(w, ", resumed")
	}
	fmt.Fprintln(w)
	if len(state.PeerCertificates) == 0 {
		return
	}
	cert := state.PeerCertificates[0]
	fmt.Fprintf(w, "* Certificate of %s, issued by %s, valid until %s\n",
		cert.Subject, cert.Issuer, cert.NotAfter.Format(time.RFC3339))
	if len(state.VerifiedChains) == 0 {
		fmt.Fprintln(w, "* The certificate was not verified")
	}
}

func printResponse(w io.Writer, resp *http.Response) {
	fmt.Fprintf(w, "< HTTP/3 %s\n", resp.Status)
	printHeader(w, resp.Header)
	fmt.Fprintln(w, "<")
}

func printTrailer(w io.Writer, resp *http.Response) {
	if len(resp.Trailer) > 0 {
		fmt.Fprintln(w, "* Trailers")
		printHeader(w, resp.Trailer)
	}
}

func printHeader(w io.Writer, h http.Header) {
	for _, name := range slices.Sorted(maps.Keys(h)) {
		for _, value := range h[name] {
			fmt.Fprintf(w, "< %s: %s\n", strings.ToLower(name), value)
		}
	}
}

func printStats(w io.Writer, resp *http.Response) {
	c := h3http.ConnOf(resp.Request)
	if c == nil {
		return
	}
	st := c.Stats()
	fmt.Fprintf(w, "* Connection %v: RTT %v (min %v), congestion window %d bytes, MTU %d\n",
		c.ID(), st.SmoothedRTT.Round(time.Microsecond), st.MinRTT.Round(time.Microsecond), st.CongestionWindow, st.MTU)
	fmt.Fprintf(w, "* Packets: %d sent, %d received, %d lost\n", st.PacketsSent, st.PacketsReceived, st.PacketsLost)
	var version uint32
	var early bool
	c.Do(context.Background(), func(_ time.Time, cc *conn.Conn) {
		version, early = cc.Version(), cc.EarlyDataAccepted()
	})
	fmt.Fprintf(w, "* QUIC version %#x, %d key updates, %d path changes", version, st.KeyUpdates, st.PathChanges)
	if early {
		fmt.Fprint(w, ", early data accepted")
	}
	fmt.Fprintln(w)
}
