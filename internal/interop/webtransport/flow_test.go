package webtransport

import (
	"fmt"
	"io"
	"net/http"
	"testing"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
	foreign "github.com/quic-go/webtransport-go"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/h3/h3http"
	"github.com/lazoquic/lazo/h3/webtransport"
	"github.com/lazoquic/lazo/internal/require"
	"github.com/lazoquic/lazo/loop"
)

// Limits of a session on both sides, much smaller than what the tests send.
const (
	fewStreams = 4
	littleData = 64 << 10
)

// serveLimited runs a server of this module with small limits, whose sessions echo.
func serveLimited(t *testing.T) (addr string, c *quic.Conn) {
	t.Helper()
	server, client := tlsConfigs(t)
	up := &webtransport.Upgrader{MaxStreamsBidi: fewStreams, MaxStreamsUni: fewStreams, MaxData: littleData}
	srv := &h3http.Server{TLSConfig: server}
	srv.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s, err := up.Upgrade(w, r); err == nil {
			go echo(s)
		}
	})
	up.Configure(srv)
	g, err := loop.Listen("udp", "127.0.0.1:0", 1, srv.LoopConfig())
	require.NoError(t, err)
	t.Cleanup(func() { g.Close() })
	client.NextProtos = []string{http3.NextProtoH3}
	cfg := &quic.Config{EnableDatagrams: true, EnableStreamResetPartialDelivery: true}
	c, err = quic.DialAddr(withTimeout(t), g.LocalAddr().String(), client, cfg)
	require.NoError(t, err)
	t.Cleanup(func() { c.CloseWithError(0x100, "") })
	return g.LocalAddr().String(), c
}

var foreignLimits = foreign.Config{
	MaxIncomingStreams: fewStreams, MaxIncomingUniStreams: fewStreams, MaxIncomingData: littleData,
}

// TestFlowControlOfServer has webtransport-go as the client: three sessions on one connection, each
// with many streams and much data over small limits.
func TestFlowControlOfServer(t *testing.T) {
	addr, c := serveLimited(t)
	tr := &foreign.Transport{Config: &foreignLimits}
	t.Cleanup(func() { tr.Close() })
	cc, err := tr.NewClientConn(c)
	require.NoError(t, err)
	ctx := withTimeout(t)
	for i := range 3 {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			_, s, err := cc.Dial(ctx, "https://"+addr+"/wt", nil)
			require.NoError(t, err)
			if i > 0 { // the others end with the connection
				t.Cleanup(func() { s.CloseWithError(0, "") })
			}
			for range 10 * fewStreams {
				st, err := s.OpenStreamSync(ctx)
				require.NoError(t, err)
				exchange(t, st, st.Close, st, 16<<10)
			}
			st, err := s.OpenStreamSync(ctx)
			require.NoError(t, err)
			exchange(t, st, st.Close, st, 4<<20)
			for range 10 * fewStreams { // streams of this module's side
				out, err := s.OpenUniStreamSync(ctx)
				require.NoError(t, err)
				io.WriteString(out, "hello")
				require.NoError(t, out.Close())
				in, err := s.AcceptUniStream(ctx)
				require.NoError(t, err)
				b, err := io.ReadAll(in)
				require.NoError(t, err)
				require.Equal(t, "hello", string(b))
			}
			for j := range 3 * fewStreams { // resets give credit back
				st, err := s.OpenStreamSync(ctx)
				require.NoError(t, err)
				_, err = st.Write(make([]byte, littleData/2))
				require.NoError(t, err)
				_, err = io.ReadFull(st, make([]byte, j))
				require.NoError(t, err)
				st.CancelWrite(1)
				st.CancelRead(2)
			}
		})
	}
}

// TestFlowControlOfClient has webtransport-go as the server.
func TestFlowControlOfClient(t *testing.T) {
	url, client := runForeign(t, &foreign.Server{Config: &foreignLimits}, echoForeign)
	d := &webtransport.Dialer{
		TLSClientConfig: client, MaxSessionsPerConn: 3,
		MaxStreamsBidi: fewStreams, MaxStreamsUni: fewStreams,
		InitialMaxData: littleData, // and it may grow
	}
	t.Cleanup(func() { d.Close() })
	ctx := withTimeout(t)
	var first *webtransport.Session
	for range 3 {
		s, _, err := d.Dial(ctx, url, nil)
		require.NoError(t, err)
		if first == nil {
			first = s
		}
		require.Same(t, first.Conn(), s.Conn())
		for range 10 * fewStreams {
			st, err := s.OpenStream(ctx, conn.Bidi)
			require.NoError(t, err)
			exchange(t, st, st.CloseWrite, st, 16<<10)
			require.NoError(t, st.Close())
		}
		st, err := s.OpenStream(ctx, conn.Bidi)
		require.NoError(t, err)
		exchange(t, st, st.CloseWrite, st, 4<<20)
		require.NoError(t, st.Close())
		for range 10 * fewStreams {
			out, err := s.OpenStream(ctx, conn.Uni)
			require.NoError(t, err)
			io.WriteString(out, "hello")
			require.NoError(t, out.Close())
			in, err := s.AcceptStream(ctx, conn.Uni)
			require.NoError(t, err)
			b, err := io.ReadAll(in)
			require.NoError(t, err)
			require.Equal(t, "hello", string(b))
			require.NoError(t, in.Close())
		}
	}
}
