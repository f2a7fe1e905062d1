package http3

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strconv"
	"strings"

	"golang.org/x/net/http/httpguts"

	"github.com/lazoquic/lazo/h3"
	"github.com/lazoquic/lazo/h3/h3http"

	"github.com/quic-go/quic-go"
)

func closeBody(r *http.Request) {
	if r.Body != nil {
		r.Body.Close()
	}
}

// check returns what is wrong with the request of a Transport.
func check(r *http.Request) error {
	switch {
	case r.URL == nil:
		return errors.New("http3: nil Request.URL")
	case r.URL.Scheme != "https":
		return fmt.Errorf("http3: unsupported protocol scheme: %s", r.URL.Scheme)
	case r.URL.Host == "":
		return errors.New("http3: no Host in request URL")
	case r.Header == nil:
		return errors.New("http3: nil Request.Header")
	case strings.ContainsFunc(r.Method, func(c rune) bool { return !httpguts.IsTokenRune(c) }):
		return fmt.Errorf("http3: invalid method %q", r.Method)
	}
	for name, values := range r.Header {
		if !httpguts.ValidHeaderFieldName(name) {
			return fmt.Errorf("http3: invalid http header field name %q", name)
		}
		for _, v := range values {
			if !httpguts.ValidHeaderFieldValue(v) {
				return fmt.Errorf("http3: invalid http header field value for key %q", name)
			}
		}
	}
	return nil
}

// outgoing returns the request as Lazo takes it. Extended CONNECT has its protocol in the header,
// and only the methods for early data allow early data. If chosen, the program has chosen the
// connection, and the URL may be of any scheme, or only a path. If raw, the request goes on an open
// stream.
func outgoing(req *http.Request, chosen, raw bool) (*http.Request, error) {
	r := req
	switch {
	case req.Method == MethodGet0RTT, req.Method == MethodHead0RTT:
		r = req.WithContext(h3http.WithTooEarly(req.Context()))
		r.Method = http.MethodGet
		if req.Method == MethodHead0RTT {
			r.Method = http.MethodHead
		}
	case raw:
		r = req.WithContext(req.Context())
	default:
		r = req.WithContext(h3http.WithoutEarlyData(req.Context()))
		if r.Method == http.MethodConnect && r.Body == nil {
			r.Body = io.NopCloser(strings.NewReader("")) // Lazo would leave the tunnel open
		}
	}
	if u := req.URL; chosen && u != nil && (u.Scheme != "https" || u.Host == "") {
		whole := *u
		whole.Scheme, whole.Host = "https", cmp.Or(u.Host, req.Host)
		r.URL = &whole
	}
	leaveOut(r)
	if req.Method == http.MethodConnect && req.Proto != "" && req.Proto != "HTTP/1.1" {
		if !httpguts.ValidHeaderFieldName(req.Proto) {
			return nil, fmt.Errorf("http3: invalid request :protocol %q", req.Proto)
		}
		r.Header = r.Header.Clone()
		if r.Header == nil {
			r.Header = make(http.Header)
		}
		r.Header[":protocol"] = []string{req.Proto}
	}
	return r, nil
}

// leaveOut leaves out what HTTP/3 does not have and Lazo refuses. A program may have it in requests
// for HTTP/1.1. r is a copy; its header and trailer are not.
func leaveOut(r *http.Request) {
	if r.Header["Upgrade"] != nil || r.Header["Transfer-Encoding"] != nil {
		r.Header = r.Header.Clone()
		delete(r.Header, "Upgrade")
		delete(r.Header, "Transfer-Encoding")
	}
	for name := range r.Trailer {
		if !httpguts.ValidTrailerHeader(name) {
			all := r.Trailer
			r.Trailer = validTrailer(all)
			if r.Body != nil && r.Body != http.NoBody {
				r.Body = &trailedBody{r.Body, func() { maps.Copy(r.Trailer, validTrailer(all)) }}
			}
			return
		}
	}
}

func validTrailer(all http.Header) http.Header {
	valid := all.Clone()
	maps.DeleteFunc(valid, func(name string, _ []string) bool { return !httpguts.ValidTrailerHeader(name) })
	return valid
}

// A trailedBody calls end before its io.EOF. By then the program has set the values of its trailer.
type trailedBody struct {
	io.ReadCloser
	end func()
}

func (b *trailedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err == io.EOF {
		b.end()
	}
	return n, err
}

// incoming returns a function that translates the result of a request made from req.
func incoming(req *http.Request) func(*http.Response, error) (*http.Response, error) {
	return func(resp *http.Response, err error) (*http.Response, error) {
		if err != nil {
			return nil, explainRequest(req, err)
		}
		resp.Request = req
		resp.ContentLength = declaredLength(resp, req.Method == http.MethodConnect)
		if resp.Body != http.NoBody {
			resp.Body = &body{ReadCloser: resp.Body, resp: resp}
		}
		return resp, nil
	}
}

// declaredLength returns the ContentLength of a response. It is what the header says, and does not
// depend on whether the end of the response has come with the header. connect says that the request
// had the method CONNECT.
func declaredLength(resp *http.Response, connect bool) int64 {
	if resp.Uncompressed {
		return -1
	}
	if values := resp.Header["Content-Length"]; len(values) > 0 {
		if n, err := strconv.ParseInt(values[0], 10, 64); err == nil {
			return n
		}
	}
	if resp.StatusCode/100 == 1 || resp.StatusCode == http.StatusNoContent || connect && resp.StatusCode/100 == 2 {
		return 0
	}
	return -1
}

// explainRequest is explain for the error of a request.
func explainRequest(req *http.Request, err error) error {
	if ctx := req.Context(); ctx.Err() != nil && isCause(ctx, err) {
		return ctx.Err()
	}
	if errors.Is(err, h3http.ErrUnprocessed) && req.Body != nil && req.Body != http.NoBody && req.GetBody == nil {
		return fmt.Errorf("http3: Transport: cannot retry err [%w] after Request.Body was written; define Request.GetBody to avoid this error", explain(err))
	}
	explained := explain(err)
	e, ok := explained.(*Error)
	if errors.Is(err, h3http.ErrUnprocessed) && !errors.Is(explained, quic.Err0RTTRejected) && (!ok || e.ErrorCode != ErrCodeRequestRejected) {
		return fmt.Errorf("http3: conn unusable: %w", explained)
	}
	return explainResponse(explained)
}

// explainResponse adds to the error of a request that its response did not come.
func explainResponse(err error) error {
	e, ok := err.(*Error)
	if !ok {
		return err
	}
	if _, ok := e.err.(*h3.Error); ok {
		return fmt.Errorf("http3: invalid response: %w", err)
	}
	return fmt.Errorf("http3: parsing frame failed: %w", err)
}

// A body is the Body of a response.
type body struct {
	io.ReadCloser
	resp *http.Response
	err  error // the end, or what the body has failed with: Read returns it after Close, too
}

func (b *body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	switch {
	case err == nil:
		return n, nil
	case b.err != nil:
		return n, b.err
	case err == io.EOF:
		dropMissing(b.resp.Trailer)
	case errors.Is(err, http.ErrBodyReadAfterClose):
		err = canceled(nil)
	case isCause(b.resp.Request.Context(), err):
		err = canceled(err) // the stream was reset when the context ended
	}
	b.err = explain(err)
	return n, b.err
}

// canceled returns the error of a body that this side has given up. why, if not nil, is the reason.
func canceled(why error) error {
	reset := &quic.StreamError{StreamID: unknownStream, ErrorCode: quic.StreamErrorCode(ErrCodeRequestCanceled)}
	return &Error{ErrorCode: ErrCodeRequestCanceled, err: errors.Join(reset, why)}
}

// isCause reports whether err is why the context ended.
func isCause(ctx context.Context, err error) bool {
	cause := context.Cause(ctx)
	return cause != nil && errors.Is(err, cause)
}

// dropMissing removes the trailers that were announced and did not come, if any has come.
func dropMissing(trailer http.Header) {
	missing := func(_ string, values []string) bool { return values == nil }
	for _, values := range trailer {
		if values != nil {
			maps.DeleteFunc(trailer, missing)
			return
		}
	}
}
