//go:build go1.27

package nethttp

import (
	"context"
	"crypto/tls"
	"errors"
	"log"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"strings"
	"time"

	"github.com/lazoquic/lazo/h3/h3http"
	"github.com/lazoquic/lazo/internal/nostream"
	"github.com/lazoquic/lazo/loop"
)

// A handler is what net/http passes to the function that serves HTTP/3.
type handler interface {
	http.Handler
	Addr() string
	TLSConfig() *tls.Config
	BaseContext() context.Context
	ListenErrHook(error)
	ShutdownContext() context.Context
}

// RegisterServer makes h serve HTTP/3 for s, on the UDP port of s.Addr, once ListenAndServeTLS of s
// is called and s.Protocols has HTTP/3. The requests go to the handler of s. h is there for what s
// has no field for, such as QUICConfig and Loops; nil stands for a new h3http.Server. The fields of
// h that s has too are set, and so is Logger, from s.ErrorLog, if it is nil. h then belongs to s:
// Shutdown of s begins that of h. Where s has no timeout, those that h3http.Server has by default
// hold: 10 seconds for a header, 2 minutes for an idle connection.
//
// listening, if not nil, is called with the sockets of h before ListenAndServeTLS goes on, or with
// the error of opening them.
func RegisterServer(s *http.Server, h *h3http.Server, listening func(*loop.Group, error)) {
	if h == nil {
		h = new(h3http.Server)
	}
	if s.TLSNextProto == nil {
		s.TLSNextProto = make(map[string]func(*http.Server, *tls.Conn, http.Handler))
	}
	s.TLSNextProto["http/3"] = func(s *http.Server, _ *tls.Conn, std http.Handler) {
		from, ok := std.(handler)
		if !ok {
			panic("nethttp: net/http has changed its hooks of HTTP/3")
		}
		take(h, s, from)
		g, err := listen(h)
		if listening != nil {
			listening(g, err)
		}
		if err == nil {
			s.RegisterOnShutdown(func() { shutdown(h, g, from.ShutdownContext()) })
			go watch(h, g)
		}
		from.ListenErrHook(err)
	}
}

// listen opens the sockets of h.
func listen(h *h3http.Server) (*loop.Group, error) {
	addr, loops := h.Addr, h.Loops
	if addr == "" {
		addr = ":https"
	}
	if loops <= 0 {
		loops = runtime.GOMAXPROCS(0)
	}
	return loop.Listen("udp", addr, loops, h.LoopConfig())
}

// watch logs the end of g if nobody has asked for it.
func watch(h *h3http.Server, g *loop.Group) {
	if err := g.Wait(); err != nil && !errors.Is(err, net.ErrClosed) {
		h.Logger.Error("nethttp: HTTP/3 has ended", "err", err)
	}
}

// take sets the fields of h from those of s.
func take(h *h3http.Server, s *http.Server, from handler) {
	h.Addr, h.Handler, h.TLSConfig = from.Addr(), from, from.TLSConfig()
	h.ReadTimeout, h.WriteTimeout = s.ReadTimeout, s.WriteTimeout
	if h.ReadHeaderTimeout = s.ReadHeaderTimeout; h.ReadHeaderTimeout == 0 {
		h.ReadHeaderTimeout = s.ReadTimeout
	}
	if h.IdleTimeout = s.IdleTimeout; h.IdleTimeout == 0 {
		h.IdleTimeout = s.ReadTimeout
	}
	h.MaxHeaderBytes = s.MaxHeaderBytes
	if h.MaxFields = s.MaxHeaderValueCount; h.MaxFields <= 0 {
		h.MaxFields = http.DefaultMaxHeaderValueCount
	}
	h.DisableGeneralOptionsHandler = true // the handler of net/http does that
	h.BaseContext = func(g *loop.Group) context.Context { return baseContext(s, from, g) }
	if f := s.ConnContext; f != nil {
		h.ConnContext = func(ctx context.Context, c *loop.Conn) context.Context {
			return f(ctx, quicConn{nostream.Conn{Err: errNoStream}, c})
		}
	}
	if h.Logger == nil {
		out := s.ErrorLog
		if out == nil {
			out = log.Default()
		}
		h.Logger = slog.New(slog.NewTextHandler(printer{out}, nil))
	}
}

// A printer writes each record to a Logger of package log.
type printer struct{ out *log.Logger }

func (p printer) Write(line []byte) (int, error) {
	p.out.Print(strings.TrimSuffix(string(line), "\n"))
	return len(line), nil
}

// shutdownTime bounds a Shutdown for which net/http gives no context.
const shutdownTime = time.Second

// shutdown ends h and g gracefully until ctx is done, and then at once.
func shutdown(h *h3http.Server, g *loop.Group, ctx context.Context) {
	if ctx == nil {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(context.Background(), shutdownTime)
		defer cancel()
	}
	if h.Shutdown(ctx) != nil {
		h.Close()
	}
	if g.Shutdown(ctx) != nil {
		g.Close()
	}
}
