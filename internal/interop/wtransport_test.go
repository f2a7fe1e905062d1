package interop

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/h3/h3http"
	"github.com/lazoquic/lazo/h3/webtransport"
	"github.com/lazoquic/lazo/internal/require"
	"github.com/lazoquic/lazo/loop"
)

// TestWtransport has a session with a server of wtransport.
func TestWtransport(t *testing.T) {
	ctx := testContext(t)
	addr := wtransportPeer.serve(t, "server", "127.0.0.1:0")
	d := &webtransport.Dialer{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	defer d.Close()
	s, _, err := d.Dial(ctx, "https://"+addr+"/", nil)
	require.NoError(t, err)
	defer s.Close()
	t.Run("stream", func(t *testing.T) { echoed(t, ctx, s, 3_000_000) })
	t.Run("300 at once", func(t *testing.T) {
		var wg sync.WaitGroup
		for i := range 300 { // it has 100 streams
			wg.Go(func() { echoed(t, ctx, s, 100*i) })
		}
		wg.Wait()
	})
	t.Run("unidirectional streams", func(t *testing.T) {
		for range 150 { // more than it has at once
			out, err := s.OpenStream(ctx, conn.Uni)
			require.NoError(t, err)
			io.WriteString(out, "hello")
			require.NoError(t, out.Close())
			in, err := s.AcceptStream(ctx, conn.Uni)
			require.NoError(t, err)
			b, err := io.ReadAll(in)
			require.NoError(t, err)
			require.Equal(t, "hello", string(b))
			in.Close()
		}
	})
	t.Run("datagrams", func(t *testing.T) { echoedDatagram(t, ctx, s) })
	t.Run("resets", func(t *testing.T) {
		st, err := s.OpenStream(ctx, conn.Bidi)
		require.NoError(t, err)
		io.WriteString(st, "reset")
		_, err = io.ReadAll(st)
		requireReset(t, err, 7)
		st, err = s.OpenStream(ctx, conn.Bidi)
		require.NoError(t, err)
		io.WriteString(st, "begin")
		_, err = io.ReadFull(st, make([]byte, 5))
		require.NoError(t, err)
		st.Reset(8)
		_, err = io.ReadAll(st)
		requireReset(t, err, 8)
		echoed(t, ctx, s, 1000)
	})
}

func requireReset(t *testing.T, err error, code uint32) {
	t.Helper()
	var reset *webtransport.StreamError
	require.ErrorAs(t, err, &reset)
	require.Equal(t, code, reset.Code)
}

// echoed sends n bytes on a stream, and reads them back meanwhile.
func echoed(t *testing.T, ctx context.Context, s *webtransport.Session, n int) {
	st, err := s.OpenStream(ctx, conn.Bidi)
	if err != nil {
		t.Error(err)
		return
	}
	defer st.Close()
	sent := bytes.Repeat([]byte("lazo"), n/4)
	wrote := make(chan error, 1)
	go func() {
		_, err := st.Write(sent)
		wrote <- errors.Join(err, st.CloseWrite())
	}()
	got, err := io.ReadAll(st)
	if err := errors.Join(err, <-wrote); err != nil || !bytes.Equal(got, sent) {
		t.Errorf("%d bytes of %d come back: %v", len(got), len(sent), err)
	}
}

// echoedDatagram sends datagrams until one comes back.
func echoedDatagram(t *testing.T, ctx context.Context, s *webtransport.Session) {
	came := make(chan string, 1)
	go func() {
		b := make([]byte, 1500)
		n, err := s.ReceiveDatagram(ctx, b)
		if err != nil {
			t.Error(err)
		}
		came <- string(b[:n])
	}()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		require.NoError(t, s.SendDatagram(ctx, []byte("hello"), 0))
		select {
		case got := <-came:
			require.Equal(t, "hello", got)
			return
		case <-tick.C: // it was lost, or takes its time
		}
	}
}

// TestWtransportClient has a client of wtransport open a session.
func TestWtransportClient(t *testing.T) {
	id := newIdentity(t)
	srv := &h3http.Server{TLSConfig: id.server}
	up := new(webtransport.Upgrader)
	up.Configure(srv)
	srv.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s, err := up.Upgrade(w, r); err == nil {
			go echoDatagrams(s)
			go echoUni(s)
			go echoBidi(s)
		}
	})
	g, err := loop.Listen("udp", "127.0.0.1:0", 1, srv.LoopConfig())
	require.NoError(t, err)
	defer g.Close()
	require.Equal(t, []string{"stream", "many at once", "unidirectional streams", "datagram", "resets"},
		wtransportPeer.visit(t, "client", "https://"+g.LocalAddr().String()+"/"))
}

func echoDatagrams(s *webtransport.Session) {
	for b := make([]byte, 1500); ; {
		n, err := s.ReceiveDatagram(s.Context(), b)
		if err != nil {
			return
		}
		s.SendDatagram(s.Context(), b[:n], 0)
	}
}

// echoUni sends back each unidirectional stream on one of this side.
func echoUni(s *webtransport.Session) {
	for {
		in, err := s.AcceptStream(s.Context(), conn.Uni)
		if err != nil {
			return
		}
		out, err := s.OpenStream(s.Context(), conn.Uni)
		if err != nil {
			return
		}
		io.Copy(out, in)
		out.Close()
		in.Close()
	}
}

// echoBidi sends back what comes on bidirectional streams, and resets those that ask for it or that
// the client has reset.
func echoBidi(s *webtransport.Session) {
	for {
		st, err := s.AcceptStream(s.Context(), conn.Bidi)
		if err != nil {
			return
		}
		go func() {
			defer st.Close()
			for b := make([]byte, 16<<10); ; {
				n, err := st.Read(b)
				if string(b[:n]) == "reset" {
					st.Reset(7)
					return
				}
				st.Write(b[:n])
				var reset *webtransport.StreamError
				switch {
				case errors.As(err, &reset):
					st.Reset(reset.Code)
					return
				case err != nil:
					return
				}
			}
		}()
	}
}
