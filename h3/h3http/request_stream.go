package h3http

import (
	"context"
	"errors"
	"net/http"

	"github.com/lazoquic/lazo/h3"
)

// A RequestStream is a [Stream] of a client. The application sends the request and reads the
// response when it wants to: see [ClientConn.OpenStream]. Datagrams go both ways at any time. Call
// Write only after SendRequest, and Read only after ReadResponse.
type RequestStream struct {
	Stream
	x    *clientExchange
	call *call // of SendRequest
}

// OpenStream opens a request stream, and waits until the server allows it. Its ID is known then,
// and nothing is sent. The context is for OpenStream alone.
func (c *ClientConn) OpenStream(ctx context.Context) (*RequestStream, error) {
	cc := c.client
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if !cc.begin() {
		return nil, cc.gone()
	}
	x := &clientExchange{clientState: clientState{client: cc, bare: true}}
	x.init(&cc.connection, x)
	x.watch(ctx)
	if !cc.wake(&x.exchange) {
		x.fail(errGoAway)
	}
	if err := x.waitOpen(); err != nil {
		return nil, err
	}
	x.unwatch()
	return &RequestStream{Stream: *newStream(&x.exchange), x: x}, nil
}

var (
	errHasBody = errors.New("h3http: SendRequest takes a request without a body")
	errTwice   = errors.New("h3http: SendRequest was called before")
	errNoCall  = errors.New("h3http: ReadResponse before SendRequest")
)

// SendRequest sends the header of r, which must not have a body. Write sends a body, and CloseWrite
// ends the request. A request with the header ":protocol" waits for the server's settings, which
// must allow it (RFC 9220, Section 3). The context of r does not matter afterwards.
func (s *RequestStream) SendRequest(r *http.Request) error {
	c := newCall(s.x.client.t, r)
	c.connect = true
	switch {
	case s.call != nil:
		return errTwice
	case c.body != nil:
		return errHasBody
	}
	c.length = -1
	if err := c.prepareHeader(); err != nil {
		return err
	}
	if r.Header[":protocol"] != nil {
		select {
		case <-s.x.c.attached.settings:
		case <-s.ctx.Done():
			return context.Cause(s.ctx)
		case <-r.Context().Done():
			return context.Cause(r.Context())
		}
		if s.x.c.h3.PeerSettings()[h3.SettingExtendedConnect] != 1 {
			return h3.ErrNoExtendedConnect
		}
	}
	s.call = &c
	s.x.mu.Lock()
	defer s.x.mu.Unlock()
	s.x.sendFields(c.fields, true)
	return s.x.push()
}

// ReadResponse waits for the response. Interim responses go to the httptrace.ClientTrace of the
// request. The Body reads the stream, and its Close stops what the server still sends.
func (s *RequestStream) ReadResponse() (*http.Response, error) {
	c := s.call
	if c == nil {
		return nil, errNoCall
	}
	head, err := c.waitHead(s.x, nil)
	if err != nil {
		return nil, err
	}
	resp := new(http.Response)
	*resp = newResponse(head)
	resp.Body = &body{x: &s.x.exchange, trailer: &resp.Trailer, onClose: (*exchange).cancelInLocked}
	return resp, nil
}
