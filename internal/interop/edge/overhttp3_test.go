package edge

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// overHTTP3 is a gRPC client over HTTP/3, which grpc-go lacks. It maps gRPC to HTTP as gRPC over
// HTTP/2 does. Code that is generated for grpc-go works with it.
type overHTTP3 struct {
	rt   http.RoundTripper
	base string
}

var _ grpc.ClientConnInterface = (*overHTTP3)(nil)

func (c *overHTTP3) Invoke(ctx context.Context, method string, args, reply any, opts ...grpc.CallOption) error {
	s, err := c.NewStream(ctx, nil, method, opts...)
	if err != nil {
		return err
	}
	if err := s.SendMsg(args); err != nil {
		return err
	}
	s.CloseSend()
	if err := s.RecvMsg(reply); err != nil {
		return err
	}
	if err := s.RecvMsg(reply); err != io.EOF {
		return fmt.Errorf("after the message: %w", err)
	}
	return nil
}

func (c *overHTTP3) NewStream(ctx context.Context, _ *grpc.StreamDesc, method string, _ ...grpc.CallOption) (grpc.ClientStream, error) {
	pr, pw := io.Pipe()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, c.base+method, pr)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/grpc")
	r.Header.Set("Te", "trailers")
	if end, ok := ctx.Deadline(); ok { // rounded up, so that the client's deadline passes first
		r.Header.Set("Grpc-Timeout", fmt.Sprintf("%dm", time.Until(end).Milliseconds()+1))
	}
	s := &stream{ctx: ctx, out: pw, came: make(chan struct{})}
	go func() {
		defer close(s.came)
		s.resp, s.err = c.rt.RoundTrip(r)
	}()
	return s, nil
}

// A stream is one call.
type stream struct {
	ctx  context.Context
	out  *io.PipeWriter
	came chan struct{} // closed when resp and err are set
	resp *http.Response
	err  error
}

func (s *stream) Context() context.Context { return s.ctx }
func (s *stream) CloseSend() error         { return s.out.Close() }
func (s *stream) Trailer() metadata.MD     { return nil }
func (s *stream) Header() (metadata.MD, error) {
	<-s.came
	return nil, s.err
}

func (s *stream) SendMsg(m any) error {
	b, err := proto.Marshal(m.(proto.Message))
	if err != nil {
		return err
	}
	_, err = s.out.Write(append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(b))), b...))
	return err
}

func (s *stream) RecvMsg(m any) error {
	<-s.came
	if s.err != nil {
		return status.FromContextError(s.ctx.Err()).Err()
	}
	var head [5]byte
	switch _, err := io.ReadFull(s.resp.Body, head[:]); {
	case err == io.EOF:
		return s.status()
	case s.ctx.Err() != nil:
		return status.FromContextError(s.ctx.Err()).Err()
	case err != nil:
		return err
	}
	b := make([]byte, binary.BigEndian.Uint32(head[1:]))
	if _, err := io.ReadFull(s.resp.Body, b); err != nil {
		return err
	}
	return proto.Unmarshal(b, m.(proto.Message))
}

// status returns io.EOF for OK, and the error of the call otherwise. It reads the trailers, or the
// header of a response without trailers.
func (s *stream) status() error {
	h := s.resp.Trailer
	if h.Get("Grpc-Status") == "" {
		h = s.resp.Header
	}
	code, err := strconv.Atoi(h.Get("Grpc-Status"))
	if err != nil {
		return fmt.Errorf("status %s without Grpc-Status", s.resp.Status)
	}
	if code == 0 {
		return io.EOF
	}
	if bin := h.Get("Grpc-Status-Details-Bin"); bin != "" {
		b, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(bin, "="))
		if err != nil {
			return err
		}
		var st spb.Status
		if err := proto.Unmarshal(b, &st); err != nil {
			return err
		}
		return status.ErrorProto(&st)
	}
	text, err := url.PathUnescape(h.Get("Grpc-Message"))
	if err != nil {
		return err
	}
	return status.Error(codes.Code(code), text)
}
