package h3http

import (
	"context"
	"crypto/tls"
	"errors"
	"net/http"
	"runtime/debug"
	"sync"
	"time"

	"github.com/lazoquic/lazo/h3"
)

// This file has the work of a goroutine that serves a request.

// An arrival is a request that the loop hands over.
type arrival struct {
	fields []h3.Field
	cost   int // bytes that count until the handler has returned
	end    bool
	tls    *tls.ConnectionState
	remote string
}

// serve answers the request of x, on a goroutine that does nothing else meanwhile.
func (x *serverExchange) serve() {
	c, a := x.server, &x.arrival
	defer x.served()
	bare, err := newRequest(a.fields, new(requestMemory))
	a.fields = nil
	if err != nil {
		x.cancel(h3.MessageError, err)
		x.finish()
		return
	}
	x.ctx.parent = c.connContext()
	x.request = *bare.WithContext(&x.ctx)
	r, w := &x.request, &x.response
	w.x, w.req = x, r
	if a.end {
		r.ContentLength = 0
	} else {
		x.setBody(r, w)
	}
	if d := c.s.ReadTimeout; d > 0 {
		x.setReadDeadline(time.Now().Add(d))
	}
	if d := c.s.WriteTimeout; d > 0 {
		w.SetWriteDeadline(time.Now().Add(d))
	}
	r.RemoteAddr = a.remote
	r.TLS = a.tls
	c.callHandler(w, r)
}

// setBody sets the Body of r, of which more may come.
func (x *serverExchange) setBody(r *http.Request, w *response) {
	if r.Trailer == nil {
		r.Trailer = make(http.Header) // handlers may copy r: the copies share the map
	}
	b := &x.body
	b.x, b.trailer = &x.exchange, &r.Trailer
	if takeExpect(r.Header) {
		w.goAhead = sync.OnceFunc(func() { x.sendFields(appendStatus(nil, http.StatusContinue), false) })
		b.expect = w.goAhead
	}
	r.Body = b
}

// served ends what lasts as long as the handler.
func (x *serverExchange) served() {
	x.uncharge(x.arrival.cost)
	x.ctx.end(context.Canceled)
}

// callHandler calls the handler and completes the response. A panic ends only the stream, not the
// connection.
func (c *serverConn) callHandler(w *response, r *http.Request) {
	returned := false
	defer func() {
		if returned {
			return
		}
		// If there is nothing to recover, the handler called runtime.Goexit.
		if v := recover(); v != nil && !aborted(v) {
			w.logger().Error("h3http: panic in a handler", "remote", r.RemoteAddr, "panic", v, "stack", string(debug.Stack()))
		}
		w.abort()
	}()
	if r.RequestURI == "*" && r.Method == http.MethodOptions && !c.s.DisableGeneralOptionsHandler {
		w.Header().Set("Content-Length", "0")
	} else {
		c.s.handler().ServeHTTP(w, r)
	}
	returned = true
	w.finish()
	if r.MultipartForm != nil {
		r.MultipartForm.RemoveAll() // removes the files of ParseMultipartForm
	}
}

// aborted reports whether v is [http.ErrAbortHandler], which is not logged.
func aborted(v any) bool {
	err, ok := v.(error)
	return ok && errors.Is(err, http.ErrAbortHandler)
}
