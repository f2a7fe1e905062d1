package h3http

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/lazoquic/lazo/h3"
)

// newResponse converts the header section of the final response.
func newResponse(fields []h3.Field) http.Response {
	s := parseSection(fields, nil)
	code, _ := strconv.Atoi(s.status) // package h3 has checked that it has three digits
	return http.Response{
		Status:        statusLine(code),
		StatusCode:    code,
		Proto:         "HTTP/3.0",
		ProtoMajor:    3,
		Header:        s.header,
		Trailer:       declaredTrailer(s.header),
		ContentLength: contentLength(s.header),
		Body:          http.NoBody,
	}
}

// An answer is a response with what it leads to, in one piece of memory. The caller of a Transport
// may keep it.
type answer struct {
	resp    http.Response
	request http.Request   // of resp
	ctx     requestContext // of request
	body    body           // of resp
}

// setBody sets the body of a response.
func (c *call) setBody(a *answer, x *clientExchange, u *upload) {
	resp := &a.resp
	head := c.r.Method == http.MethodHead
	empty := x.empty
	if empty && !head {
		resp.ContentLength = 0
	}
	if head || empty {
		u.abandon()
		if !u.unfinished() {
			return
		}
	}
	b := &a.body
	*b = body{x: &x.exchange, turn: x.turn, trailer: &resp.Trailer, upload: u, onClose: (*exchange).cancelLocked}
	resp.Body = b
	if c.gzip && !empty && strings.EqualFold(first(resp.Header["Content-Encoding"]), "gzip") {
		resp.Body = &gzipBody{body: b}
		resp.Header.Del("Content-Encoding")
		resp.Header.Del("Content-Length")
		resp.ContentLength = -1
		resp.Uncompressed = true
	}
}
