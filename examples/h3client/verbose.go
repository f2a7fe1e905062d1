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
	"github.com/lazoquic/lazo/loop"
)

// remarks prints what -v shows about one URL, in the style of curl: "*" for remarks, ">" for the
// request, "<" for the response. Lines that belong together are written together, because other
// downloads print at the same time.
type remarks struct {
	w      io.Writer
	prefix string // of each line
}

// remarks returns those of a URL. If several are fetched at once, lines begin with its number.
func (f *fetcher) remarks(i int) *remarks {
	r := &remarks{w: f.screen}
	if f.parallel > 1 && len(f.urls) > 1 {
		r.prefix = fmt.Sprintf("[%d] ", i+1)
	}
	return r
}

// tell writes the lines of f.
func (r *remarks) tell(f func(w *strings.Builder)) {
	var b, lines strings.Builder
	f(&b)
	for line := range strings.Lines(b.String()) {
		lines.WriteString(r.prefix + line)
	}
	io.WriteString(r.w, lines.String())
}

// withTrace returns a context with which the connection, its handshake and the request are shown.
func withTrace(ctx context.Context, r *remarks) context.Context {
	var sent strings.Builder // a request so far
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		TLSHandshakeDone: func(state tls.ConnectionState, err error) {
			if err == nil {
				r.tell(func(w *strings.Builder) { printTLS(w, &state) })
			}
		},
		GotConn: func(info httptrace.GotConnInfo) {
			word := "Connected to"
			if info.Reused {
				word = "Using the connection to"
			}
			r.tell(func(w *strings.Builder) {
				fmt.Fprintf(w, "* %s %v from %v over QUIC\n", word, info.Conn.RemoteAddr(), info.Conn.LocalAddr())
			})
		},
		WroteHeaderField: func(key string, values []string) {
			for _, value := range values {
				fmt.Fprintf(&sent, "> %s: %s\n", key, value)
			}
		},
		WroteHeaders: func() {
			r.tell(func(w *strings.Builder) { fmt.Fprintln(w, sent.String()+">") })
			sent.Reset()
		},
		Got1xxResponse: func(code int, header textproto.MIMEHeader) error {
			r.tell(func(w *strings.Builder) {
				fmt.Fprintf(w, "< HTTP/3 %d %s\n", code, http.StatusText(code))
				printHeader(w, http.Header(header))
				fmt.Fprintln(w, "<")
			})
			return nil
		},
	})
}

func (r *remarks) response(resp *http.Response) {
	r.tell(func(w *strings.Builder) {
		fmt.Fprintf(w, "< HTTP/3 %s\n", resp.Status)
		printHeader(w, resp.Header)
		fmt.Fprintln(w, "<")
	})
}

func (r *remarks) trailer(resp *http.Response) {
	if len(resp.Trailer) == 0 {
		return
	}
	r.tell(func(w *strings.Builder) {
		fmt.Fprintln(w, "* Trailers")
		printHeader(w, resp.Trailer)
	})
}

func (r *remarks) stats(resp *http.Response) {
	if c := h3http.ConnOf(resp.Request); c != nil {
		r.tell(func(w *strings.Builder) { printStats(w, c) })
	}
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

func printHeader(w io.Writer, h http.Header) {
	for _, name := range slices.Sorted(maps.Keys(h)) {
		for _, value := range h[name] {
			fmt.Fprintf(w, "< %s: %s\n", strings.ToLower(name), value)
		}
	}
}

func printStats(w io.Writer, c *loop.Conn) {
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
