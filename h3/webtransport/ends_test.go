package webtransport

import (
	"bytes"
	"context"
	"io"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/conntest"
	"github.com/lazoquic/lazo/h3"
	"github.com/lazoquic/lazo/internal/require"
)

// TestStreamsOutliveConnection: bytes that streams have received stay readable when the connection
// ends, even on streams that nobody has accepted yet. The same goes for datagrams.
func TestStreamsOutliveConnection(t *testing.T) {
	want := bytes.Repeat([]byte("x"), 200<<10)
	for _, end := range []string{"Close of the server", "Close of the connection", "idle timeout"} {
		for _, dir := range []conn.Dir{conn.Bidi, conn.Uni} {
			run(t, nil, func(t *testing.T, w *world) {
				client, server := w.dial()
				send := func() {
					st, err := client.OpenStream(w.ctx(), dir)
					require.NoError(t, err)
					_, err = st.Write(want)
					require.NoError(t, err)
					require.NoError(t, st.CloseWrite())
				}
				send()
				st, err := server.AcceptStream(w.ctx(), dir)
				require.NoError(t, err)
				send()
				require.NoError(t, client.SendDatagram(w.ctx(), []byte("datagram"), 0))
				time.Sleep(time.Second) // all has arrived
				switch end {
				case "Close of the server":
					require.NoError(t, w.srv.Close())
				case "Close of the connection":
					require.NoError(t, client.Conn().Close(0, ""))
				default:
					w.net.Connect("10.0.0.1:443", "10.0.0.2:5000", conntest.Link{Loss: 1})
				}
				<-server.Context().Done()
				time.Sleep(time.Second)
				late, err := server.AcceptStream(w.ctx(), dir)
				require.NoError(t, err, "%s, %v", end, dir)
				for _, st := range []*Stream{st, late} {
					got, err := io.ReadAll(st)
					require.NoError(t, err, "%s, %v: %d bytes", end, dir, len(got))
					require.True(t, bytes.Equal(want, got), "%s: %d bytes", end, len(got))
				}
				b := make([]byte, 100)
				n, err := server.ReceiveDatagram(w.ctx(), b)
				require.NoError(t, err)
				require.Equal(t, "datagram", string(b[:n]))
				_, err = server.AcceptStream(w.ctx(), dir)
				require.Error(t, err)
				_, err = server.ReceiveDatagram(w.ctx(), b)
				require.Error(t, err)
			})
		}
	}
}

// TestCloseBesideEndOfConnection: a client closes its session and then the connection, and the
// server's loop reads both in one turn. The session has ended with the client's code.
func TestCloseBesideEndOfConnection(t *testing.T) {
	for _, fin := range []bool{false, true} {
		run(t, nil, func(t *testing.T, w *world) {
			client, s := w.dial()
			held := make(chan struct{})
			require.True(t, s.Conn().Loop().Post(func(time.Time) { <-held }))
			require.NoError(t, client.write(appendClose(nil, 7, "enough")))
			if fin {
				require.NoError(t, client.connect.CloseWrite())
			}
			w.wait()
			require.NoError(t, client.Conn().Close(uint64(h3.NoError), ""))
			w.wait()
			close(held)
			<-s.Context().Done()
			require.Equal(t, error(&SessionError{Code: 7, Reason: "enough", Remote: true}), context.Cause(s.Context()))
		})
	}
}
