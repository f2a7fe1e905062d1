package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/h3/h3http"
	"github.com/lazoquic/lazo/loop"
)

// httpBytes is the size of a small response over HTTP.
const httpBytes = 100

// An httpSession is an HTTP client with a connection of its own.
type httpSession struct {
	exchanges
	client http.Client
	base   string // of URLs
	leave  func() // closes the connection
	quic   *loop.Conn
}

// dialHTTP3 makes a client of HTTP/3. It connects with its first request.
func dialHTTP3(g *loop.Group, to netip.AddrPort, cfg *conn.Config) *httpSession {
	s := &httpSession{base: "https://" + to.String()}
	quic := *cfg
	quic.TLS = nil
	tr := &h3http.Transport{TLSClientConfig: cfg.TLS, QUICConfig: &quic}
	tr.Dial = func(ctx context.Context, addr string, cfg *conn.Config) (c *loop.Conn, err error) {
		s.quic, err = g.Dial(ctx, addr, cfg)
		return s.quic, err
	}
	s.client.Transport, s.leave = tr, func() { tr.Close() }
	s.one, s.stop = s.request, s.close
	return s
}

// dialHTTP2 makes a client of HTTP/2 of package net/http. It connects with its first request.
func dialHTTP2(to netip.AddrPort, tc *tls.Config, giveUp time.Duration) *httpSession {
	s := &httpSession{base: "https://" + to.String()}
	tc = tc.Clone()
	tc.NextProtos = []string{"h2"}
	tr := &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: tc, DialContext: new(net.Dialer).DialContext, TLSHandshakeTimeout: giveUp}
	s.client.Transport, s.leave = tr, tr.CloseIdleConnections
	s.one, s.stop = s.request, s.close
	return s
}

// request does one exchange: a POST if there is something to send, else a GET.
func (s *httpSession) request(b []byte, down, up int64) error {
	method, url, body := http.MethodGet, s.base+"/"+strconv.FormatInt(down, 10), io.Reader(nil)
	if up > 0 {
		method, url, body = http.MethodPost, s.base+"/", io.LimitReader(endless{}, up)
	}
	req, err := http.NewRequest(method, url, body)
	if err != nil {
		return err
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, resp.Body, b)
	if err == nil && (resp.StatusCode != http.StatusOK || up == 0 && n != down) {
		err = fmt.Errorf("%s %s: status %s, %d bytes", method, url, resp.Status, n)
	}
	return err
}

func (s *httpSession) flood(time.Duration) (int64, error) {
	return 0, errors.New("HTTP has no datagrams here")
}

func (s *httpSession) stats() (st conn.Stats) {
	if s.quic != nil {
		st = s.quic.Stats()
	}
	return st
}

// alive reports whether the connection still takes a request.
func (s *httpSession) alive() bool { return s.exchange(1, 1, httpBytes, 0) == nil }

func (s *httpSession) close() { s.leave() }

// endless is a body without an end.
type endless struct{}

// Read fills b.
func (endless) Read(b []byte) (int, error) { return copy(b, zeros[:]), nil }
