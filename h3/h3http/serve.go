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
	c, a, w := x.server, &x.arrival, x.w
	defer w.served()
	bare, err := newRequest(a.fields, new(requestMemory))
	a.fields = nil
	if err != nil {
		x.cancel(h3.MessageError, err)
		x.finish()
		return
	}
	w.ctx.parent = c.connContext()
	w.request = *bare.WithContext(&w.ctx)
	r := &w.request
	if a.end {
		r.ContentLength = 0
		takeExpect(r.Header) // there is nothing to wait for; a proxy must not pass it on
	} else {
		w.setBody()
	}
	if d := c.s.ReadTimeout; d > 0 {
		w.SetReadDeadline(time.Now().Add(d))
	}
	if d := c.s.WriteTimeout; d > 0 {
		w.SetWriteDeadline(time.Now().Add(d))
	}
	r.RemoteAddr = a.remote
	r.TLS = a.tls
	c.callHandler(w, r)
}

// setBody sets the Body of the request, of which more may come.
func (w *response) setBody() {
	r := &w.request
	if r.Trailer == nil {
		r.Trailer = make(http.Header) // handlers may copy r: the copies share the map
	}
	b := &body{x: &w.x.exchange, turn: w.turn, trailer: &r.Trailer}
	if takeExpect(r.Header) {
		w.goAhead = sync.OnceFunc(func() { w.sendInfo(appendStatus(nil, http.StatusContinue)) })
		b.expect = w.goAhead
	}
	r.Body = b
}

// served ends what lasts as long as the handler.
func (w *response) served() {
	if !w.left {
		w.x.mu.Lock()
		w.leave()
		w.x.mu.Unlock()
	}
	w.ctx.end(context.Canceled)
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
