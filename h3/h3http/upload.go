package h3http

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"sync"
	"time"

	"github.com/lazoquic/lazo/h3"
	"github.com/lazoquic/lazo/h3/internal/lifetime"
	"github.com/lazoquic/lazo/internal/fifo"
)

// expectTimeout is the default of Transport.ExpectContinueTimeout. It is the same as that of
// http.DefaultTransport.
const expectTimeout = time.Second

// An upload is the body of a request while it is sent. A nil upload stands for no body.
// RFC 9114, Section 4.1 [6, 7, 13].
type upload struct {
	x       *clientExchange
	t       *Transport
	r       *http.Request
	body    io.ReadCloser
	length  int64
	trace   *httptrace.ClientTrace
	answer  chan bool // has room for one: whether to send the body; nil without Expect
	refused bool      // the body will not be sent, so the stream does not end by itself
	once    sync.Once // closes body
}

// startBody starts to send the body of the request, which now has a stream.
func (c *call) startBody(x *clientExchange) *upload {
	c.wroteHeaders()
	if c.body == nil {
		wroteRequest(c.trace, nil)
		x.limitHead(c.t.ResponseHeaderTimeout)
		return nil
	}
	c.started = true
	u := &upload{x: x, t: c.t, r: c.r, body: c.body, length: c.length, trace: c.trace}
	if c.expect {
		u.answer = make(chan bool, 1)
		if c.trace != nil && c.trace.Wait100Continue != nil {
			c.trace.Wait100Continue()
		}
	}
	// A Read in progress has to return, and closing the body makes it do so.
	x.whenFailed(func(error) {
		go func() {
			u.proceed(false)
			u.close()
		}()
	})
	go u.run()
	return u
}

// wroteHeaders tells the trace which fields were sent.
func (c *call) wroteHeaders() {
	if c.trace == nil {
		return
	}
	if f := c.trace.WroteHeaderField; f != nil {
		for _, field := range c.fields {
			f(field.Name, []string{field.Value})
		}
	}
	if f := c.trace.WroteHeaders; f != nil {
		f()
	}
}

func wroteRequest(trace *httptrace.ClientTrace, err error) {
	if trace != nil && trace.WroteRequest != nil {
		trace.WroteRequest(httptrace.WroteRequestInfo{Err: err})
	}
}

func (u *upload) close() { u.once.Do(func() { u.body.Close() }) }

// proceed says whether the server wants the body, unless that is known already.
func (u *upload) proceed(yes bool) {
	if u == nil || u.answer == nil {
		return
	}
	select {
	case u.answer <- yes:
	default:
	}
}

// run sends the body and then the trailer section.
func (u *upload) run() {
	defer u.close()
	if u.answer != nil {
		late := time.NewTimer(lifetime.Timeout(u.t.ExpectContinueTimeout, expectTimeout))
		defer late.Stop()
		select {
		case yes := <-u.answer:
			if !yes {
				u.x.mu.Lock()
				u.refused = true
				u.x.mu.Unlock()
				return
			}
		case <-late.C:
		}
	}
	err := u.copy()
	if err == nil {
		err = u.x.closeWrite(appendHeader(nil, u.r.Trailer, notInTrailer))
	}
	wroteRequest(u.trace, err)
	u.x.limitHead(u.t.ResponseHeaderTimeout)
}

// copy sends the content. If the whole content cannot be read, it cancels the request. A body that
// fills the memory into which it is read is read into the memory from which it is sent.
func (u *upload) copy() error {
	pool := u.x.c.pool
	c := pool.memory(false)
	defer func() { pool.Put(c) }() // Put takes nil
	sent := int64(0)
	for {
		n, err := u.body.Read(c.Memory)
		sent += int64(n)
		bulk := n == len(c.Memory) && (u.length < 0 || u.length-sent >= blockSize/2)
		if u.length >= 0 && (sent > u.length || err == io.EOF && sent < u.length) {
			err = fmt.Errorf("h3http: request has ContentLength %d and a body of %d bytes or more: %w", u.length, sent, errLength)
		} else if n > 0 {
			taken, werr := u.write(c, n)
			if werr != nil {
				return werr // the exchange has the error; the response may still come
			}
			if taken {
				c = nil
			}
		}
		if err == io.EOF { // an error that only wraps io.EOF is a failure: see io.Reader
			return nil
		}
		if err != nil {
			u.x.cancel(h3.RequestCancelled, err)
			return err
		}
		if c == nil || bulk != (len(c.Memory) == blockSize) {
			pool.Put(c)
			c = pool.memory(bulk)
		}
	}
}

// write writes the first n bytes of c, and reports whether c is taken.
func (u *upload) write(c *fifo.Chunk, n int) (taken bool, err error) {
	u.x.mu.Lock()
	defer u.x.mu.Unlock()
	taken, _, err = u.x.writeChunk(c, n, 0)
	return taken, err
}

// unfinished reports whether the request would still be sent after the end of the response.
func (u *upload) unfinished() bool {
	if u == nil {
		return false
	}
	u.x.mu.Lock()
	defer u.x.mu.Unlock()
	return !u.x.out.fin && u.x.out.err == nil
}

// abandon cancels a request whose body the server has not asked for.
func (u *upload) abandon() {
	if u == nil {
		return
	}
	u.x.mu.Lock()
	defer u.x.mu.Unlock()
	if u.refused && u.x.out.err == nil {
		u.x.cancelLocked(h3.RequestCancelled, io.EOF)
	}
}
