package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strings"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
	"github.com/quic-go/quic-go/quicvarint"
)

// call makes requests in all ways, and has the server shut down in the end.
func call(ctx context.Context, first, second string) error {
	tc := &tls.Config{InsecureSkipVerify: true, NextProtos: []string{http3.NextProtoH3}}
	t := &http3.Transport{TLSClientConfig: tc, EnableDatagrams: true, AdditionalSettings: map[uint64]uint64{setting: 8}}
	defer t.Close()
	if err := requests(ctx, t, "https://"+first); err != nil {
		return fmt.Errorf("requests: %w", err)
	}
	if err := cached(ctx, t); err != nil {
		return fmt.Errorf("cached: %w", err)
	}
	if err := oneConn(ctx, t, tc, first); err != nil {
		return fmt.Errorf("one connection: %w", err)
	}
	if err := raw(ctx, t, tc, second); err != nil {
		return fmt.Errorf("raw: %w", err)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+first+"/shutdown", nil)
	if err != nil {
		return err
	}
	resp, err := t.RoundTrip(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err == nil && string(b) != "begun\nended\n" {
		err = fmt.Errorf("shutdown says %q", b)
	}
	return err
}

// requests makes requests with bodies, fields, trailers and informational responses.
func requests(ctx context.Context, rt http.RoundTripper, url string) error {
	for _, size := range []int{0, 1, 5000, 8 << 20} {
		if err := request(ctx, rt, url, bytes.Repeat([]byte("x"), size)); err != nil {
			return fmt.Errorf("%d bytes: %w", size, err)
		}
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodHead, url+"/tunnel", nil)
	if err != nil {
		return err
	}
	resp, err := rt.RoundTrip(r)
	if err != nil {
		return err
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusNotImplemented || resp.Request != r || resp.TLS == nil || resp.ProtoMajor != 3 {
		return fmt.Errorf("the response is %+v", resp)
	}
	return nil
}

func request(ctx context.Context, rt http.RoundTripper, url string, body []byte) error {
	hinted := false
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
			hinted = code == http.StatusEarlyHints && h.Get("Link") == hint
			return nil
		},
	})
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, url+"/echo", io.MultiReader(bytes.NewReader(body)))
	if err != nil {
		return err
	}
	r.Header["X-Echo"] = []string{"one", "two", strings.Repeat("y", 10_000)}
	r.Trailer = http.Header{"X-End": {"the end"}}
	resp, err := rt.RoundTrip(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	switch {
	case err != nil:
		return err
	case resp.StatusCode != http.StatusAccepted || !bytes.Equal(got, body):
		return fmt.Errorf("status %d and %d bytes: %.100q", resp.StatusCode, len(got), got)
	case fmt.Sprint(resp.Header["X-Echo"]) != fmt.Sprint(r.Header["X-Echo"]):
		return fmt.Errorf("the header is %v", resp.Header)
	case resp.Trailer.Get("X-Sum") != fmt.Sprintf("%d the end", len(body)):
		return fmt.Errorf("the trailer is %v", resp.Trailer)
	case !hinted:
		return errors.New("no informational response")
	}
	return nil
}

// cached asks for a connection that may not be made.
func cached(ctx context.Context, t *http3.Transport) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://localhost:1/", nil)
	if err != nil {
		return err
	}
	if _, err := t.RoundTripOpt(r, http3.RoundTripOpt{OnlyCachedConn: true}); !errors.Is(err, http3.ErrNoCachedConn) {
		return fmt.Errorf("without a connection: %v", err)
	}
	return nil
}

func dial(ctx context.Context, addr string, tc *tls.Config) (*quic.Conn, error) {
	return quic.DialAddr(ctx, addr, tc, &quic.Config{EnableDatagrams: true})
}

// oneConn makes requests and tunnels on one connection.
func oneConn(ctx context.Context, t *http3.Transport, tc *tls.Config, addr string) error {
	qc, err := dial(ctx, addr, tc)
	if err != nil {
		return err
	}
	c := t.NewClientConn(qc)
	if err := useConn(ctx, c, addr); err != nil {
		return err
	}
	c.CloseWithError(quic.ApplicationErrorCode(http3.ErrCodeNoError), "")
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+addr+"/echo", nil)
	if err != nil {
		return err
	}
	if _, err := c.RoundTrip(r); !errors.Is(err, &http3.Error{ErrorCode: http3.ErrCodeNoError}) {
		return fmt.Errorf("a request on a closed connection: %v", err)
	}
	return nil
}

func useConn(ctx context.Context, c *http3.ClientConn, addr string) error {
	<-c.ReceivedSettings()
	settings := c.Settings()
	if !settings.EnableDatagrams || !settings.EnableExtendedConnect || settings.Other[setting] != 7 {
		return fmt.Errorf("the settings are %+v", settings)
	}
	if err := requests(ctx, c, "https://"+addr); err != nil {
		return err
	}
	for range 12 { // more than may be open at a time
		if err := throughTunnel(ctx, c, addr); err != nil {
			return fmt.Errorf("tunnel: %w", err)
		}
	}
	return cancelTunnel(ctx, c, addr)
}

func openTunnel(ctx context.Context, c *http3.ClientConn, addr string) (*http3.RequestStream, error) {
	s, err := c.OpenRequestStream(ctx)
	if err != nil {
		return nil, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodConnect, "https://"+addr+"/tunnel", nil)
	if err != nil {
		return nil, err
	}
	r.Proto = protocol
	if err := s.SendRequestHeader(r); err != nil {
		return nil, err
	}
	resp, err := s.ReadResponse()
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK || resp.Header.Get(http3.CapsuleProtocolHeader) != "?1" {
		b, _ := io.ReadAll(s)
		return nil, fmt.Errorf("status %d: %s", resp.StatusCode, b)
	}
	return s, nil
}

// throughTunnel sends capsules and datagrams, which come back.
func throughTunnel(ctx context.Context, c *http3.ClientConn, addr string) error {
	s, err := openTunnel(ctx, c, addr)
	if err != nil {
		return err
	}
	w := quicvarint.NewWriter(s)
	for i := range 3 {
		if err := http3.WriteCapsule(w, http3.CapsuleType(i), bytes.Repeat([]byte{byte(i)}, i*10_000)); err != nil {
			return err
		}
	}
	if err := s.TryWriteAll([]byte{0x3f, 0x00}); err != nil { // a capsule without content
		return err
	}
	got := ""
	for got == "" { // datagrams may be lost
		if err := s.SendDatagram([]byte("datagram")); err != nil {
			return err
		}
		b, err := s.ReceiveDatagram(ctx)
		if err != nil {
			return err
		}
		got = string(b)
	}
	if got != "re: datagram" {
		return fmt.Errorf("received %q", got)
	}
	var tooLarge *quic.DatagramTooLargeError
	if err := s.SendDatagram(make([]byte, 10_000)); !errors.As(err, &tooLarge) {
		return fmt.Errorf("a large datagram: %v", err)
	}
	if err := s.Close(); err != nil {
		return err
	}
	<-s.Context().Done()
	p := http3.NewCapsuleParser(s)
	for i := range 3 {
		typ, r, err := p.Next()
		if err != nil {
			return err
		}
		b, err := io.ReadAll(r)
		if err != nil || int(typ) != i || len(b) != i*10_000 {
			return fmt.Errorf("capsule %d has %d bytes: %v", typ, len(b), err)
		}
	}
	if typ, r, err := p.Next(); typ != 0x3f || err != nil || r.Remaining() != 0 {
		return fmt.Errorf("the last capsule is %d: %v", typ, err)
	}
	if _, _, err := p.Next(); err != io.EOF {
		return fmt.Errorf("behind the last capsule: %v", err)
	}
	return nil
}

// cancelTunnel cancels a tunnel, and the server answers with the same code.
func cancelTunnel(ctx context.Context, c *http3.ClientConn, addr string) error {
	s, err := openTunnel(ctx, c, addr)
	if err != nil {
		return err
	}
	const code = quic.StreamErrorCode(http3.ErrCodeConnectError)
	s.CancelWrite(code)
	_, err = io.ReadAll(s)
	if !errors.Is(err, &http3.Error{ErrorCode: http3.ErrCode(code), Remote: true}) {
		return fmt.Errorf("reading from a tunnel that was canceled: %v", err)
	}
	var of *quic.StreamError
	if !errors.As(err, &of) || of.StreamID != s.StreamID() || of.ErrorCode != code {
		return fmt.Errorf("the error wraps %v", of)
	}
	_, err = s.Write([]byte("x"))
	if !errors.Is(err, &http3.Error{ErrorCode: http3.ErrCode(code)}) {
		return fmt.Errorf("writing to a tunnel that was canceled: %v", err)
	}
	return nil
}

// raw uses a connection whose streams both sides accept themselves, for streams of its own too.
func raw(ctx context.Context, t *http3.Transport, tc *tls.Config, addr string) error {
	qc, err := dial(ctx, addr, tc)
	if err != nil {
		return err
	}
	defer qc.CloseWithError(quic.ApplicationErrorCode(http3.ErrCodeNoError), "")
	c := t.NewRawClientConn(qc)
	back := make(chan *quic.ReceiveStream, 1)
	go func() {
		for {
			str, err := qc.AcceptUniStream(ctx)
			if err != nil {
				return
			}
			go func() {
				if own, err := isOwn(str); err == nil && own {
					back <- str
				} else if err == nil {
					c.HandleUnidirectionalStream(str)
				}
			}()
		}
	}()
	if err := useConn(ctx, c.ClientConn, addr); err != nil {
		return err
	}
	out, err := qc.OpenUniStreamSync(ctx)
	if err != nil {
		return err
	}
	sent := quicvarint.Append(nil, ownStream)
	sent = append(sent, strings.Repeat("own", 50_000)...)
	go func() {
		out.Write(sent)
		out.Close()
	}()
	select {
	case str := <-back:
		got, err := io.ReadAll(str)
		if err != nil || !bytes.Equal(got, sent) {
			return fmt.Errorf("%d bytes came back: %v", len(got), err)
		}
	case <-ctx.Done():
		return ctx.Err()
	}
	return useConn(ctx, c.ClientConn, addr)
}
