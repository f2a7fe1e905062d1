package edge

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	testpb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/status"

	"github.com/lazoquic/lazo/h3/h3http"
	"github.com/lazoquic/lazo/internal/require"
)

// service is a server of gRPC's own test service.
type service struct {
	testpb.UnimplementedTestServiceServer
	waited chan error // why each waiting call ended
}

// UnaryCall returns the payload, or the status that the request asks for, with a detail. Without
// either it waits for the end of the call.
func (s *service) UnaryCall(ctx context.Context, r *testpb.SimpleRequest) (*testpb.SimpleResponse, error) {
	if want := r.GetResponseStatus(); want != nil {
		st, err := status.New(codes.Code(want.Code), want.Message).WithDetails(&errdetails.ErrorInfo{Reason: "asked"})
		if err != nil {
			return nil, err
		}
		return nil, st.Err()
	}
	if r.Payload == nil {
		if _, ok := ctx.Deadline(); !ok {
			return nil, status.Error(codes.Internal, "no deadline came")
		}
		<-ctx.Done()
		s.waited <- ctx.Err()
		return nil, status.FromContextError(ctx.Err()).Err()
	}
	return &testpb.SimpleResponse{Payload: r.Payload}, nil
}

func (s *service) StreamingOutputCall(r *testpb.StreamingOutputCallRequest, out testpb.TestService_StreamingOutputCallServer) error {
	for _, p := range r.ResponseParameters {
		m := &testpb.StreamingOutputCallResponse{Payload: &testpb.Payload{Body: make([]byte, p.Size)}}
		if err := out.Send(m); err != nil {
			return err
		}
	}
	return nil
}

func (s *service) StreamingInputCall(in testpb.TestService_StreamingInputCallServer) error {
	var sum int32
	for {
		m, err := in.Recv()
		if err == io.EOF {
			return in.SendAndClose(&testpb.StreamingInputCallResponse{AggregatedPayloadSize: sum})
		}
		if err != nil {
			return err
		}
		sum += int32(len(m.Payload.Body))
	}
}

func (s *service) FullDuplexCall(both testpb.TestService_FullDuplexCallServer) error {
	for {
		m, err := both.Recv()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if err := both.Send(&testpb.StreamingOutputCallResponse{Payload: m.Payload}); err != nil {
			return err
		}
	}
}

// serveGRPC starts the program in front of a gRPC server, and returns clients by version of HTTP.
func serveGRPC(t *testing.T) (*program, *service, map[string]testpb.TestServiceClient) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	s := &service{waited: make(chan error, 100)}
	srv := grpc.NewServer()
	testpb.RegisterTestServiceServer(srv, s)
	go srv.Serve(ln)
	t.Cleanup(srv.Stop)
	p := start(t, fmt.Sprintf("pools: {grpc: {backends: [\"h2c://%s\"]}}\nroutes: [{pool: grpc}]\n", ln.Addr()))
	cc, err := grpc.NewClient(p.addr, grpc.WithTransportCredentials(credentials.NewTLS(p.trust.Clone())))
	require.NoError(t, err)
	t.Cleanup(func() { cc.Close() })
	tr := &h3http.Transport{TLSClientConfig: p.trust.Clone(), DisableCompression: true}
	t.Cleanup(func() { tr.Close() })
	return p, s, map[string]testpb.TestServiceClient{
		"HTTP/2": testpb.NewTestServiceClient(cc),
		"HTTP/3": testpb.NewTestServiceClient(&overHTTP3{tr, "https://" + p.addr}),
	}
}

// TestGRPC makes calls of all kinds through the edge.
func TestGRPC(t *testing.T) {
	p, s, clients := serveGRPC(t)
	p.drainLog()
	for name, c := range clients {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			t.Run("unary", func(t *testing.T) { unary(t, ctx, c) })
			t.Run("error with details", func(t *testing.T) { details(t, ctx, c) })
			t.Run("deadline", func(t *testing.T) { deadline(t, c, s) })
			t.Run("streams", func(t *testing.T) { streams(t, ctx, c) })
			t.Run("both ways", func(t *testing.T) {
				both, err := c.FullDuplexCall(ctx)
				require.NoError(t, err)
				pingPong(t, both)
				require.NoError(t, both.CloseSend())
				_, err = both.Recv()
				require.Equal(t, io.EOF, err)
			})
		})
	}
}

func unary(t *testing.T, ctx context.Context, c testpb.TestServiceClient) {
	body := bytes.Repeat([]byte("payload "), 100_000)
	resp, err := c.UnaryCall(ctx, &testpb.SimpleRequest{Payload: &testpb.Payload{Body: body}})
	require.NoError(t, err)
	require.True(t, bytes.Equal(body, resp.Payload.Body))
	_, err = c.UnimplementedCall(ctx, &testpb.Empty{})
	require.Equal(t, codes.Unimplemented, status.Code(err))
}

func details(t *testing.T, ctx context.Context, c testpb.TestServiceClient) {
	want := &testpb.EchoStatus{Code: int32(codes.FailedPrecondition), Message: "no: 100 % \u00fc\n"}
	for range 30 { // the response is only a header, which must also end the stream
		_, err := c.UnaryCall(ctx, &testpb.SimpleRequest{ResponseStatus: want})
		require.Equal(t, codes.FailedPrecondition, status.Code(err), "%v", err)
	}
	_, err := c.UnaryCall(ctx, &testpb.SimpleRequest{ResponseStatus: want})
	st := status.Convert(err)
	require.Equal(t, codes.FailedPrecondition, st.Code())
	require.Equal(t, want.Message, st.Message())
	require.Len(t, st.Details(), 1)
	info, ok := st.Details()[0].(*errdetails.ErrorInfo)
	require.True(t, ok)
	require.Equal(t, "asked", info.Reason)
}

// deadline checks that the backend learns when a client gives up.
func deadline(t *testing.T, c testpb.TestServiceClient, s *service) {
	s.givenUp(t, func(err error) bool { return err != nil }, func(after time.Duration) {
		ctx, cancel := context.WithTimeout(t.Context(), after)
		defer cancel()
		_, err := c.UnaryCall(ctx, &testpb.SimpleRequest{})
		require.Equal(t, codes.DeadlineExceeded, status.Code(err))
	})
	// Other errors are of calls before.
	canceled := func(err error) bool { return err == context.Canceled }
	s.givenUp(t, canceled, func(after time.Duration) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		time.AfterFunc(after, cancel)
		_, err := c.UnaryCall(ctx, &testpb.SimpleRequest{})
		require.Equal(t, codes.Canceled, status.Code(err))
	})
}

// givenUp makes a call that is given up after a time, and waits until one has ended at the backend
// as it should. A call that has not come there by then is made again, with twice the time.
func (s *service) givenUp(t *testing.T, want func(error) bool, call func(after time.Duration)) {
	for after := 50 * time.Millisecond; after < time.Minute; after *= 2 {
		call(after)
		if s.ends(want, after) {
			return
		}
	}
	t.Fatal("no call has ended at the backend as it should")
}

// ends waits for a call that ends at the backend in a certain way.
func (s *service) ends(want func(error) bool, within time.Duration) bool {
	for timeout := time.After(within); ; {
		select {
		case err := <-s.waited:
			if want(err) {
				return true
			}
		case <-timeout:
			return false
		}
	}
}

func streams(t *testing.T, ctx context.Context, c testpb.TestServiceClient) {
	var want testpb.StreamingOutputCallRequest
	for i := range 50 {
		want.ResponseParameters = append(want.ResponseParameters, &testpb.ResponseParameters{Size: int32(1000 * i)})
	}
	out, err := c.StreamingOutputCall(ctx, &want)
	require.NoError(t, err)
	for i := range 50 {
		m, err := out.Recv()
		require.NoError(t, err)
		require.Len(t, m.GetPayload().GetBody(), 1000*i)
	}
	_, err = out.Recv()
	require.Equal(t, io.EOF, err)

	in, err := c.StreamingInputCall(ctx)
	require.NoError(t, err)
	for range 50 {
		require.NoError(t, in.Send(&testpb.StreamingInputCallRequest{Payload: &testpb.Payload{Body: make([]byte, 10_000)}}))
	}
	sum, err := in.CloseAndRecv()
	require.NoError(t, err)
	require.EqualValues(t, 500_000, sum.AggregatedPayloadSize)
}

// pingPong sends messages, each after the answer to the one before.
func pingPong(t *testing.T, both testpb.TestService_FullDuplexCallClient) {
	t.Helper()
	for i := range 10 {
		body := []byte(fmt.Sprint("message ", i))
		require.NoError(t, both.Send(&testpb.StreamingOutputCallRequest{Payload: &testpb.Payload{Body: body}}))
		m, err := both.Recv()
		require.NoError(t, err)
		require.Equal(t, string(body), string(m.Payload.Body))
	}
}

// TestGRPCDrain asks the program to end while streams are open. They go on, and the program ends
// after them.
func TestGRPCDrain(t *testing.T) {
	p, _, clients := serveGRPC(t)
	var open []testpb.TestService_FullDuplexCallClient
	for _, c := range clients {
		both, err := c.FullDuplexCall(t.Context())
		require.NoError(t, err)
		pingPong(t, both)
		open = append(open, both)
	}
	p.terminate(t)
	p.drainLog()
	for _, both := range open {
		pingPong(t, both)
		require.NoError(t, both.CloseSend())
		_, err := both.Recv()
		require.Equal(t, io.EOF, err)
	}
	require.NoError(t, p.cmd.Wait())
}
