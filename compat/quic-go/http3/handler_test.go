package http3_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
)

// TestRequestContext: what the context of a request in a handler has, when it ends, and why.
func TestRequestContext(t *testing.T) {
	type key struct{}
	s := new(http3.Server)
	s.ConnContext = func(ctx context.Context, c *quic.Conn) context.Context {
		addr, ok := ctx.Value(http.LocalAddrContextKey).(net.Addr)
		if ctx.Value(http3.ServerContextKey) != s || !ok || addr.String() != c.LocalAddr().String() {
			t.Error("ConnContext got a context without the server or the address")
		}
		return context.WithValue(ctx, key{}, c)
	}
	began, ended := make(chan context.Context, 1), make(chan struct{})
	s.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx := r.Context()
		addr, ok := ctx.Value(http3.RemoteAddrContextKey).(net.Addr)
		if !ok || addr.String() != r.RemoteAddr || ctx.Value(http3.ServerContextKey) != s || ctx.Value(key{}) == nil {
			t.Error("a handler got a context without its values")
		}
		if ctx.Err() != nil {
			t.Errorf("the context began with %v", ctx.Err())
		}
		began <- ctx
		if r.URL.Path == "/wait" {
			<-ctx.Done()
			ended <- struct{}{}
		}
	})
	for name, c := range map[string]struct {
		path string
		end  func(cancel context.CancelFunc, client *quic.Conn)
		want error
	}{
		"the handler returns": {"/", func(context.CancelFunc, *quic.Conn) {}, context.Canceled},
		"the client cancels":  {"/wait", func(cancel context.CancelFunc, _ *quic.Conn) { cancel() }, context.Canceled},
		"the connection ends": {
			"/wait", func(_ context.CancelFunc, c *quic.Conn) { c.CloseWithError(5, "why") },
			&quic.ApplicationError{Remote: true, ErrorCode: 5, ErrorMessage: "why"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			server, client := connect(t)
			defer client.CloseWithError(0, "")
			go s.ServeQUICConn(server)
			r := request(t, http.MethodGet, "https://localhost"+c.path)
			ctx, cancel := context.WithCancel(r.Context())
			defer cancel()
			go new(http3.Transport).NewClientConn(client).RoundTrip(r.WithContext(ctx))
			handling := <-began
			c.end(cancel, client)
			<-handling.Done()
			if c.path == "/wait" {
				<-ended
			}
			if err := context.Cause(handling); !errors.Is(err, c.want) || handling.Err() != context.Canceled {
				t.Errorf("the context ended with %v", err)
			}
		})
	}
}

// TestContextOnDemand: the context of a request makes what can be canceled only when somebody asks,
// and tells how the request ended also if that is after its end.
func TestContextOnDemand(t *testing.T) {
	type key struct{}
	contexts, waits := make(chan context.Context, 1), make(chan struct{})
	server, client := connect(t)
	s := &http3.Server{
		ConnContext: func(ctx context.Context, c *quic.Conn) context.Context { return context.WithValue(ctx, key{}, c) },
	}
	s.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx := r.Context()
		addr, ok := ctx.Value(http3.RemoteAddrContextKey).(net.Addr)
		_, local := ctx.Value(http.LocalAddrContextKey).(net.Addr)
		if !ok || addr.String() != r.RemoteAddr || !local || ctx.Value(http3.ServerContextKey) != s {
			t.Error("a handler got a context without its values")
		}
		if _, limited := ctx.Deadline(); limited || http3.CanBeCanceled(ctx) {
			t.Error("values and Deadline need no context that can be canceled")
		}
		if r.URL.Path == "/wait" {
			close(waits)
			<-server.Context().Done()
		}
		contexts <- ctx
	})
	go s.ServeQUICConn(server)
	cc := new(http3.Transport).NewClientConn(client)
	resp, err := cc.RoundTrip(request(t, http.MethodGet, "https://localhost/"))
	check(t, err)
	_, err = io.ReadAll(resp.Body) // whose end comes after that of the handler
	check(t, err)
	ctx := <-contexts
	if http3.CanBeCanceled(ctx) {
		t.Error("the end of the request made a context")
	}
	<-ctx.Done()
	if ctx.Err() != context.Canceled || context.Cause(ctx) != context.Canceled || ctx.Value(key{}) != server {
		t.Errorf("after its end the context has %v, because of %v, and %v", ctx.Err(), context.Cause(ctx), ctx.Value(key{}))
	}

	ended := make(chan struct{})
	go func() {
		defer close(ended)
		cc.RoundTrip(request(t, http.MethodGet, "https://localhost/wait"))
	}()
	<-waits
	client.CloseWithError(5, "why")
	<-ended
	ctx = <-contexts
	<-ctx.Done()
	want := &quic.ApplicationError{Remote: true, ErrorCode: 5, ErrorMessage: "why"}
	if err := context.Cause(ctx); !errors.Is(err, want) || ctx.Err() != context.Canceled {
		t.Errorf("the context ended with %v", err)
	}
}

// TestForeignContext: ConnContext may return any context. That of a request ends with the connection
// all the same.
func TestForeignContext(t *testing.T) {
	for name, foreign := range map[string]func(context.Context) context.Context{
		"without the values": func(context.Context) context.Context { return context.Background() },
		"that does not end":  context.WithoutCancel,
		"that has ended": func(ctx context.Context) context.Context {
			ctx, cancel := context.WithCancel(ctx)
			cancel()
			return ctx
		},
	} {
		t.Run(name, func(t *testing.T) {
			began := make(chan context.Context, 1)
			s := &http3.Server{ConnContext: func(ctx context.Context, _ *quic.Conn) context.Context { return foreign(ctx) }}
			s.Handler = http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				began <- r.Context()
				<-r.Context().Done()
			})
			server, client := connect(t)
			go s.ServeQUICConn(server)
			go new(http3.Transport).NewClientConn(client).RoundTrip(request(t, http.MethodGet, "https://localhost/"))
			ctx := <-began
			client.CloseWithError(5, "why")
			<-ctx.Done()
			var want error = &quic.ApplicationError{Remote: true, ErrorCode: 5, ErrorMessage: "why"}
			if name == "that has ended" {
				want = context.Canceled
			}
			if err := context.Cause(ctx); !errors.Is(err, want) {
				t.Errorf("the context ended with %v", err)
			}
		})
	}
}

// TestTakenContext: the context of a request whose stream was taken ends with sending, and not with
// the handler.
func TestTakenContext(t *testing.T) {
	for _, early := range []bool{true, false} {
		t.Run(fmt.Sprintf("asked for before the handler returns: %v", early), func(t *testing.T) { testTakenContext(t, early) })
	}
}

func testTakenContext(t *testing.T, early bool) {
	taken, again := make(chan *http3.Stream, 1), make(chan *http3.Stream, 1)
	requests := make(chan *http.Request, 1)
	returned := make(chan struct{})
	s := &http3.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer close(returned)
		if early {
			r.Context().Done()
		}
		str, err := w.(http3.HTTPStreamer).HTTPStream()
		check(t, err)
		same, err := w.(http3.HTTPStreamer).HTTPStream()
		check(t, err)
		taken <- str
		again <- same
		requests <- r
	})}
	server, client := connect(t)
	defer client.CloseWithError(0, "")
	go s.ServeQUICConn(server)
	rs, err := new(http3.Transport).NewClientConn(client).OpenRequestStream(within(t))
	check(t, err)
	check(t, rs.SendRequestHeader(request(t, http.MethodGet, "https://localhost/")))
	str, r := <-taken, <-requests
	if str != <-again {
		t.Error("HTTPStream returned another stream")
	}
	<-returned
	for _, err := range []error{writing(str), str.TryWriteAll([]byte("x"))} {
		if err == nil || !strings.Contains(err.Error(), "before sending the response header") {
			t.Errorf("a write without a header: %v", err)
		}
	}
	if err := r.Context().Err(); err != nil {
		t.Errorf("the context ended with the handler: %v", err)
	}
	str.CancelWrite(7)
	<-r.Context().Done()
	want := &quic.StreamError{StreamID: str.StreamID(), ErrorCode: 7}
	if err := context.Cause(str.Context()); !errors.Is(err, want) {
		t.Errorf("the context of the stream ended with %v", err)
	}
	if err := str.Close(); err == nil {
		t.Error("Close of a canceled stream returned no error")
	}
	check(t, str.Close()) // only the first one fails
	client.CloseWithError(0, "")
	<-rs.Context().Done()
	if err := rs.Close(); err != nil {
		t.Errorf("Close after the end of the connection returned %v", err)
	}
}

// A setting calls set at the end of a body.
type setting struct {
	io.ReadCloser
	set func()
}

func (s *setting) Read(b []byte) (int, error) {
	n, err := s.ReadCloser.Read(b)
	if err != nil {
		s.set()
	}
	return n, err
}

func writing(w io.Writer) error {
	_, err := w.Write([]byte("x"))
	return err
}

// TestTakeAfterFlush: Flush sends a header, and the stream then takes writes.
func TestTakeAfterFlush(t *testing.T) {
	addr := serve(t, &http3.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.(http.Flusher).Flush()
		str, err := w.(http3.HTTPStreamer).HTTPStream()
		if err == nil {
			err = writing(str)
		}
		if err == nil {
			err = str.Close()
		}
		if err != nil {
			t.Errorf("the stream: %v", err)
		}
	})})
	tr := &http3.Transport{TLSClientConfig: clientTLS}
	defer tr.Close()
	resp, err := tr.RoundTrip(request(t, http.MethodGet, "https://"+addr))
	check(t, err)
	if b, err := io.ReadAll(resp.Body); string(b) != "x" || err != nil || resp.StatusCode != http.StatusOK {
		t.Errorf("status %d, read %q, %v", resp.StatusCode, b, err)
	}
}

// TestTakeAfterBody: nobody gets the stream after some of the body was written.
func TestTakeAfterBody(t *testing.T) {
	addr := serve(t, &http3.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "body")
		if _, err := w.(http3.HTTPStreamer).HTTPStream(); err == nil {
			t.Error("took the stream")
		}
		for _, ok := range []bool{
			isA[interface{ SetReadDeadline(time.Time) error }](w), isA[interface{ SetWriteDeadline(time.Time) error }](w),
			isA[interface{ FlushError() error }](w), isA[http.Flusher](w), isA[http3.Settingser](w),
		} {
			if !ok {
				t.Error("the ResponseWriter lacks a method")
			}
		}
	})})
	tr := &http3.Transport{TLSClientConfig: clientTLS}
	defer tr.Close()
	resp, err := tr.RoundTrip(request(t, http.MethodGet, "https://"+addr))
	check(t, err)
	if b, err := io.ReadAll(resp.Body); string(b) != "body" || err != nil {
		t.Errorf("read %q, %v", b, err)
	}
}

func isA[T any](v any) bool {
	_, ok := v.(T)
	return ok
}

// TestRequestBody: errors of a body in a handler are of this package, and its trailers are there when
// it has ended.
func TestRequestBody(t *testing.T) {
	read := make(chan error, 1)
	addr := serve(t, &http3.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.(http.Flusher).Flush()
		before := r.Trailer != nil
		_, err := io.ReadAll(r.Body)
		read <- err
		switch r.URL.Path {
		case "/trailer":
			if !before || r.Trailer.Get("Sum") != "9" || len(r.Trailer) != 1 {
				t.Errorf("the trailer was there %v, and is %v", before, r.Trailer)
			}
		default:
			if before || r.Trailer != nil {
				t.Errorf("a request without a trailer has %v", r.Trailer)
			}
			check(t, r.Body.Close())
			var se *quic.StreamError
			_, err := r.Body.Read(make([]byte, 1))
			if !errors.Is(err, &http3.Error{ErrorCode: http3.ErrCodeRequestCanceled}) || !errors.As(err, &se) {
				t.Errorf("Read after Close returned %v", err)
			}
		}
	})})
	tr := &http3.Transport{TLSClientConfig: clientTLS}
	defer tr.Close()

	ctx, cancel := context.WithCancel(within(t))
	in, out := io.Pipe()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://"+addr, in)
	check(t, err)
	resp, err := tr.RoundTrip(r)
	check(t, err)
	_, err = io.WriteString(out, "some")
	check(t, err)
	cancel()
	var se *quic.StreamError
	if err := <-read; !errors.Is(err, &http3.Error{Remote: true, ErrorCode: http3.ErrCodeRequestCanceled}) || !errors.As(err, &se) {
		t.Errorf("the request was canceled: %v", err)
	}
	check(t, resp.Body.Close())

	r, err = http.NewRequestWithContext(within(t), http.MethodPost, "https://"+addr+"/trailer", strings.NewReader("text"))
	check(t, err)
	r.Trailer = http.Header{"Sum": nil, "Not": nil, "Content-Length": {"forbidden"}}
	r.Body = &setting{r.Body, func() { r.Trailer.Set("Sum", "9") }}
	resp, err = tr.RoundTrip(r)
	check(t, err)
	check(t, <-read)
	check(t, resp.Body.Close())
	if len(r.Trailer) != 3 {
		t.Errorf("the request was changed: %v", r.Trailer)
	}
}

// TestBodyAfterHandler: a handler that returns gives back a body whose end it has not read. What it
// has seen of the end stays.
func TestBodyAfterHandler(t *testing.T) {
	for name, c := range map[string]struct {
		handle func(body io.ReadCloser)
		want   error
	}{
		"not read":      {func(io.ReadCloser) {}, &http3.Error{ErrorCode: http3.ErrCodeNoError}},
		"read in part":  {func(body io.ReadCloser) { body.Read(make([]byte, 1)) }, &http3.Error{ErrorCode: http3.ErrCodeNoError}},
		"closed":        {func(body io.ReadCloser) { body.Close() }, &http3.Error{ErrorCode: http3.ErrCodeRequestCanceled}},
		"read to EOF":   {func(body io.ReadCloser) { io.ReadAll(body) }, io.EOF},
		"read later on": {nil, &http3.Error{ErrorCode: http3.ErrCodeNoError}},
	} {
		t.Run(name, func(t *testing.T) {
			bodies, late := make(chan io.ReadCloser, 1), make(chan error, 1)
			s := &http3.Server{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				if c.handle == nil {
					go func() {
						_, err := io.ReadAll(r.Body)
						late <- err
					}()
				} else {
					c.handle(r.Body)
				}
				bodies <- r.Body
			})}
			server, client := connect(t)
			defer client.CloseWithError(0, "")
			go s.ServeQUICConn(server)
			r := request(t, http.MethodPost, "https://localhost/")
			out, in := io.Pipe()
			r.Body = out
			go func() {
				in.Write([]byte("content"))
				if name == "read to EOF" {
					in.Close()
				}
			}()
			defer in.Close()
			resp, err := new(http3.Transport).NewClientConn(client).RoundTrip(r)
			check(t, err)
			_, err = io.ReadAll(resp.Body) // whose end comes after that of the handler
			check(t, err)
			if c.handle == nil {
				if err := <-late; !errors.Is(err, c.want) {
					t.Errorf("a Read that waited returned %v", err)
				}
			}
			if n, err := (<-bodies).Read(make([]byte, 1)); n != 0 || !errors.Is(err, c.want) {
				t.Errorf("Read returned %d, %v", n, err)
			}
		})
	}
}
