package main

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/lazoquic/lazo/h3/masque"
)

// maxTunnels bounds the tunnels of one route, TCP and UDP apart.
const maxTunnels = 1024

// connectTimeout is for the look-up of a target's name and the connection to it.
const connectTimeout = 10 * time.Second

// errNoTarget is the error for addresses that are no targets.
var errNoTarget = errors.New("edge: no tunnel leads there")

// isTunnel reports whether r asks for a tunnel: by CONNECT, or by extended CONNECT but for
// WebSocket.
func isTunnel(r *http.Request) bool { return r.Method == http.MethodConnect && !isWebSocket(r) }

// isConnect reports whether r asks for a tunnel of TCP (RFC 9110, Section 9.3.6).
func isConnect(r *http.Request) bool {
	return r.Method == http.MethodConnect && len(r.Header[":protocol"]) == 0
}

// isConnectUDP reports whether r asks for a tunnel of UDP (RFC 9298).
func isConnectUDP(r *http.Request) bool {
	return isTunnel(r) && len(r.Header[":protocol"]) == 1 && r.Header[":protocol"][0] == "connect-udp"
}

// serveTunnel serves a request that isTunnel, if a route has been configured for it. An attacker
// must not open tunnels by repeating early data.
func (s *site) serveTunnel(w http.ResponseWriter, r *http.Request) {
	rt := s.routes.find(r)
	if rt == nil {
		http.Error(w, "no tunnels here", http.StatusNotImplemented)
		return
	}
	if !settle(r, false) {
		return
	}
	if r.TLS != nil && !r.TLS.HandshakeComplete {
		settled := *r.TLS
		settled.HandshakeComplete = true
		r.TLS = &settled
	}
	if isConnect(r) {
		rt.connect.ServeHTTP(w, r)
	} else {
		rt.connectUDP.ServeHTTP(w, r)
	}
}

// udpTunnels are those of CONNECT-UDP to the targets of one route.
type udpTunnels struct {
	to    targets
	proxy masque.Proxy
}

func newUDPTunnels(to targets, idle time.Duration) *udpTunnels {
	ts := &udpTunnels{to: to}
	ts.proxy = masque.Proxy{MaxTunnels: maxTunnels, IdleTimeout: idle, Name: "edge"}
	ts.proxy.Allow = func(r *http.Request, addr netip.AddrPort) bool {
		host, _, ok := ts.proxy.Target(r)
		if !ok || !to.lead(canonicalHost(host), addr) {
			return false
		}
		tripOf(r).backend = addr.String()
		return true
	}
	return ts
}

func (ts *udpTunnels) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	host, port, ok := ts.proxy.Target(r)
	if ok && !ts.to.mayLead(canonicalHost(host), port) {
		http.Error(w, errNoTarget.Error(), http.StatusForbidden)
		return
	}
	ts.proxy.ServeHTTP(w, r)
}

// tunnels are those of CONNECT to the targets of one route.
type tunnels struct {
	to   targets
	idle time.Duration
	open atomic.Int64
}

// ServeHTTP passes bytes on both ways until both sides have ended.
func (ts *tunnels) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	host, port, ok := splitTarget(r.Host)
	switch {
	case !ok:
		http.Error(w, "malformed target", http.StatusBadRequest)
		return
	case r.ContentLength > 0, len(r.TransferEncoding) > 0:
		// What follows the header is for the target, all of it.
		http.Error(w, "CONNECT has no content", http.StatusBadRequest)
		return
	case !ts.to.mayLead(host, port):
		http.Error(w, errNoTarget.Error(), http.StatusForbidden)
		return
	}
	defer ts.open.Add(-1)
	if ts.open.Add(1) > maxTunnels {
		http.Error(w, "too many tunnels", http.StatusServiceUnavailable)
		return
	}
	target, err := ts.dial(r, host)
	if err != nil {
		http.Error(w, http.StatusText(tunnelStatus(err)), tunnelStatus(err))
		return
	}
	defer target.Close()
	tripOf(r).backend = target.RemoteAddr().String()
	client, err := takeClient(w, r)
	if err != nil {
		return
	}
	client.finish(splice(client, (*targetEnd)(target), ts.idle))
}

// dial connects to an address of host that is a target. The check is that of the address which the
// socket connects to. So a name cannot change its address in between.
func (ts *tunnels) dial(r *http.Request, host string) (*net.TCPConn, error) {
	ctx, cancel := context.WithTimeout(r.Context(), connectTimeout)
	defer cancel()
	d := net.Dialer{Control: func(_, addr string, _ syscall.RawConn) error {
		if to, err := netip.ParseAddrPort(addr); err != nil || !ts.to.lead(host, to) {
			return errNoTarget
		}
		return nil
	}}
	_, port, _ := net.SplitHostPort(r.Host)
	c, err := d.DialContext(ctx, "tcp", net.JoinHostPort(host, port))
	if err != nil {
		return nil, err
	}
	return c.(*net.TCPConn), nil
}

// tunnelStatus returns the status for a target that cannot be reached.
func tunnelStatus(err error) int {
	if errors.Is(err, errNoTarget) {
		return http.StatusForbidden
	}
	return statusOf(err)
}

// An end is one side of a tunnel.
type end interface {
	io.ReadWriter
	CloseWrite() error // ends what is sent there
	abort()            // breaks off both directions, and ends Read and Write
}

// A targetEnd is the connection to a target.
type targetEnd net.TCPConn

func (t *targetEnd) Read(b []byte) (int, error)  { return (*net.TCPConn)(t).Read(b) }
func (t *targetEnd) Write(b []byte) (int, error) { return (*net.TCPConn)(t).Write(b) }
func (t *targetEnd) CloseWrite() error           { return (*net.TCPConn)(t).CloseWrite() }

// abort sends RST, so that the target does not take a part for the whole (RFC 9114, Section 4.4).
func (t *targetEnd) abort() {
	(*net.TCPConn)(t).SetLinger(0)
	(*net.TCPConn)(t).Close()
}

// splice passes on what comes from a and from b until both have ended, one has failed, or nothing
// has passed for the time idle. It reports whether both have ended.
func splice(a, b end, idle time.Duration) bool {
	var failed atomic.Bool
	abort := func() {
		failed.Store(true)
		a.abort()
		b.abort()
	}
	timer := time.AfterFunc(idle, abort)
	defer timer.Stop()
	pass := func(to, from end) {
		_, err := io.Copy(&lively{to, timer, idle}, from)
		if err == nil {
			err = to.CloseWrite()
		}
		if err != nil {
			abort()
		}
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		pass(a, b)
	}()
	pass(b, a)
	<-done
	return !failed.Load()
}

// A lively writer puts a timer off whenever something has passed.
type lively struct {
	io.Writer
	timer *time.Timer
	limit time.Duration
}

func (l *lively) Write(b []byte) (int, error) {
	n, err := l.Writer.Write(b)
	if err == nil {
		l.timer.Reset(l.limit)
	}
	return n, err
}
