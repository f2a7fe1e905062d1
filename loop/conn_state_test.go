package loop_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/conntest"
	"github.com/lazoquic/lazo/loop"
)

// TestTryOpenStream opens the streams that the peer allows. It then says at once that the peer
// allows no more.
func TestTryOpenStream(t *testing.T) {
	limits := func(c *conn.Config) { c.InitialMaxStreamsBidi, c.InitialMaxStreamsUni = 2, 1 }
	run(t, setup{link: near, server: serverConfig(limits)}, func(t *testing.T, w *world) {
		c, server := w.dial(nil)
		var streams []*loop.Stream
		for dir, limit := range map[conn.Dir]int{conn.Bidi: 2, conn.Uni: 1} {
			for range limit {
				s, err := c.TryOpenStream(dir)
				if err != nil {
					t.Fatal(err)
				}
				streams = append(streams, s)
			}
			start := time.Now()
			s, err := c.TryOpenStream(dir)
			var e *loop.StreamLimitError
			if s != nil || !errors.As(err, &e) || e.Dir != dir || !errors.Is(err, conn.ErrStreamLimit) {
				t.Errorf("direction %d: %v, %v", dir, s, err)
			}
			if time.Since(start) > 0 {
				t.Error("it waited")
			}
		}
		// A call that already waits in OpenStream comes first.
		waited := make(chan *loop.Stream)
		go func() {
			s, err := c.OpenStream(w.ctx(), conn.Bidi)
			if err != nil {
				t.Error(err)
			}
			waited <- s
		}()
		synctest.Wait()
		if _, err := c.TryOpenStream(conn.Bidi); !errors.Is(err, conn.ErrStreamLimit) {
			t.Error(err)
		}
		for _, s := range streams {
			s.Write([]byte("x"))
			s.Close()
		}
		for range streams {
			s := w.accept(server)
			io.Copy(io.Discard, s)
			s.Close()
		}
		(<-waited).Close()
		time.Sleep(time.Second)
		if s, err := c.TryOpenStream(conn.Bidi); err != nil {
			t.Error(err)
		} else {
			s.Close()
		}
		if _, err := c.TryOpenStream(7); err == nil {
			t.Error("direction 7")
		}
		c.Close(0, "")
		if _, err := c.TryOpenStream(conn.Bidi); !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
	})
}

// TestAcceptStreamOf: a call for one direction gets the streams of that direction in order, however
// they are mixed. AcceptStream gets the oldest stream of both.
func TestAcceptStreamOf(t *testing.T) {
	run(t, setup{link: near}, func(t *testing.T, w *world) {
		c, server := w.dial(nil)
		var opened [2][]conn.StreamID
		for i := range 12 {
			dir := conn.Dir(i / 2 % 2)
			s := w.open(c, dir)
			s.Write([]byte("x"))
			s.CloseWrite()
			opened[dir] = append(opened[dir], s.ID())
			time.Sleep(50 * time.Millisecond)
		}
		var first []conn.StreamID
		for range 4 {
			first = append(first, w.accept(server).ID())
		}
		if want := append(opened[0][:2:2], opened[1][:2]...); !slices.Equal(first, want) {
			t.Errorf("AcceptStream: %v, want %v", first, want)
		}
		var got [2][]conn.StreamID
		done := make(chan struct{})
		for dir := range got {
			go func() {
				for range 4 {
					s, err := server.AcceptStreamOf(w.ctx(), conn.Dir(dir))
					if err != nil {
						t.Error(err)
						break
					}
					got[dir] = append(got[dir], s.ID())
				}
				done <- struct{}{}
			}()
		}
		<-done
		<-done
		for dir := range got {
			if !slices.Equal(got[dir], opened[dir][2:]) {
				t.Errorf("direction %d: %v, want %v", dir, got[dir], opened[dir][2:])
			}
		}
		// Several calls wait for the end of the connection, and all of them learn of it.
		for dir := range got {
			for range 3 {
				go func() {
					_, err := server.AcceptStreamOf(context.Background(), conn.Dir(dir))
					if !errors.Is(err, conn.ErrClosed) {
						t.Error(err)
					}
					done <- struct{}{}
				}()
			}
		}
		synctest.Wait()
		c.Close(0, "")
		for range 6 {
			<-done
		}
	})
}

type key struct{}

// TestStreamContext: streams and connections have contexts with the values of ConnContext. The
// cause is the reason of their end.
func TestStreamContext(t *testing.T) {
	cfg := serverConfig(nil)
	cfg.ConnContext = func(ctx context.Context, c *conn.Conn) context.Context {
		return context.WithValue(ctx, key{}, c.RemoteAddr().String())
	}
	run(t, setup{link: near, server: cfg}, func(t *testing.T, w *world) {
		c, server := w.dial(nil)
		var remote []*loop.Stream
		var local []*loop.Stream
		for range 6 {
			s := w.open(c, conn.Bidi)
			s.Write([]byte("x"))
			local = append(local, s)
			remote = append(remote, w.accept(server))
		}
		uni := w.open(c, conn.Uni)
		uni.Write([]byte("x"))
		remote = append(remote, w.accept(server))
		var contexts []context.Context
		ends := make([][]error, len(remote))
		for i, s := range remote {
			s.OnWriteEnd(func(err error) { ends[i] = append(ends[i], err) })
			ctx := s.Context()
			if v := ctx.Value(key{}); v != clientAddr || ctx.Err() != nil || s.Context() != ctx {
				t.Errorf("value %v, error %v", v, ctx.Err())
			}
			contexts = append(contexts, ctx)
		}
		remote[0].CloseWrite()
		remote[1].Close()
		remote[2].Reset(5)
		local[3].StopSending(6)
		local[4].Close() // its peer may still write
		uni.CloseWrite()
		go io.Copy(io.Discard, remote[6])
		time.Sleep(time.Second)
		check := func(i int, ok func(error) bool) {
			t.Helper()
			if err := context.Cause(contexts[i]); err == nil || !ok(err) {
				t.Errorf("stream %d ended with %v", i, err)
			}
		}
		closed := func(err error) bool { return errors.Is(err, net.ErrClosed) }
		streamError := func(want conn.StreamError) func(error) bool {
			return func(err error) bool {
				var e *conn.StreamError
				return errors.As(err, &e) && e.Code == want.Code && e.Remote == want.Remote
			}
		}
		check(0, closed)
		check(1, closed)
		check(2, streamError(conn.StreamError{Code: 5}))
		check(3, streamError(conn.StreamError{Code: 6, Remote: true}))
		check(6, func(err error) bool { return err == io.EOF })
		for _, i := range []int{4, 5} {
			if err := context.Cause(contexts[i]); (err != nil) != (i == 4) {
				t.Errorf("stream %d ended with %v", i, err)
			}
		}
		c.Close(42, "")
		<-server.Context().Done()
		check(5, func(err error) bool {
			var e *conn.ApplicationError
			return errors.As(err, &e) && e.Code == 42 && e.Remote
		})
		if v := server.Context().Value(key{}); v != clientAddr {
			t.Errorf("value %v of the connection", v)
		}
		time.Sleep(time.Second)
		for i, ctx := range contexts {
			remote[i].OnWriteEnd(func(err error) { ends[i] = append(ends[i], err) })
			if cause := context.Cause(ctx); len(ends[i]) != 2 || ends[i][0].Error() != cause.Error() {
				t.Errorf("stream %d ended with %v, and its context with %v", i, ends[i], cause)
			}
		}
		if ctx := remote[5].Context(); ctx.Err() == nil {
			t.Error("the context of a stream goes on after its connection")
		}
	})
}

// TestConnState: the results of the handshake are known without asking the loop. Conns lists the
// connections that exist.
func TestConnState(t *testing.T) {
	early := func(c *conn.Config) { c.Enable0RTT = true }
	run(t, setup{link: near, server: serverConfig(early)}, func(t *testing.T, w *world) {
		cfg := conntest.ClientConfig()
		cfg.Enable0RTT = true
		cfg.Versions = []uint32{conn.Version2}
		cfg.TLS = cfg.TLS.Clone()
		cfg.TLS.ServerName = "lazo.test"
		cfg.TLS.ClientSessionCache = tls.NewLRUClientSessionCache(1)
		for i := range 2 {
			c, err := w.client.Dial(w.ctx(), serverAddr, cfg)
			if err != nil {
				t.Fatal(err)
			}
			if c.HandshakeComplete() != (i == 0) {
				t.Errorf("connection %d: handshake complete is %v", i, c.HandshakeComplete())
			}
			s := w.open(c, conn.Uni)
			s.Write([]byte("x"))
			s.Close()
			server, err := w.server.Accept(w.ctx())
			if err != nil {
				t.Fatal(err)
			}
			for _, side := range []*loop.Conn{c, server} {
				<-side.Handshake()
				if !side.HandshakeComplete() || side.Version() != conn.Version2 || side.EarlyDataAccepted() != (i == 1) {
					t.Errorf("connection %d: complete %v, version %x, early data %v",
						i, side.HandshakeComplete(), side.Version(), side.EarlyDataAccepted())
				}
			}
			if got := w.client.Conns(); len(got) != 1 || got[0] != c {
				t.Errorf("the client has %v", got)
			}
			if got := w.server.Conns(); len(got) != 1 || got[0] != server {
				t.Errorf("the server has %v", got)
			}
			time.Sleep(time.Second) // a session ticket arrives
			c.Close(0, "")
			time.Sleep(time.Second)
			if n := len(w.client.Conns()) + len(w.server.Conns()); n != 0 {
				t.Errorf("%d connections are left", n)
			}
		}
	})
}

// TestAcceptAfterHandshake: a Conn knows that its handshake is complete before Accept returns it.
func TestAcceptAfterHandshake(t *testing.T) {
	run(t, setup{link: near}, func(t *testing.T, w *world) {
		done := make(chan error)
		go func() {
			_, err := w.client.Dial(w.ctx(), serverAddr, conntest.ClientConfig())
			done <- err
		}()
		time.Sleep(near.Delay * 3 / 2) // the first packet has come
		waiting := -1
		l := w.server.Loops()[0]
		l.Do(w.ctx(), func(time.Time) {
			for c := range l.Endpoint().Conns() {
				l.Conn(c).OnHandshake(func() { waiting = w.server.Waiting() })
			}
		})
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		l.Do(w.ctx(), func(time.Time) {
			if waiting != 0 {
				t.Errorf("when the handshake was complete %d connections waited for Accept, want 0", waiting)
			}
		})
		c, err := w.server.Accept(w.ctx())
		if err != nil || !c.HandshakeComplete() {
			t.Error("the connection that Accept has returned: ", err)
		}
	})
}
