package loop_test

import (
	"bytes"
	"io"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/internal/require"
	"github.com/lazoquic/lazo/loop"
)

// An accountWay is a way in which a peer makes the server keep something. All connections of the
// peer use the same way.
type accountWay struct {
	name   string
	server func(*conn.Config)
	client func(*conn.Config)
	fill   func(w *world, client, server *loop.Conn) []*loop.Stream // of the server
}

// megabyte is what applications write. It does not count.
var megabyte = make([]byte, 1<<20)

// stingy makes a client that gives no credit worth mentioning.
func stingy(c *conn.Config) { c.InitialMaxStreamData, c.MaxStreamData = 1, 1 }

func talkative(c *conn.Config) {
	c.InitialMaxStreamsBidi, c.InitialMaxStreamsUni, c.MaxDatagramFrameSize = 200, 200, 1500
	c.InitialMaxStreamData, c.InitialMaxData, c.MaxData = 256<<10, 1<<30, 1<<30
}

func accountWays() []accountWay {
	return []accountWay{
		{name: "unread data", server: talkative, fill: func(w *world, client, server *loop.Conn) (in []*loop.Stream) {
			for range 4 {
				go w.open(client, conn.Uni).WriteShared(megabyte[:400<<10])
				in = append(in, w.accept(server))
			}
			return in
		}},
		{name: "unread data, a byte a stream", server: talkative, fill: func(w *world, client, server *loop.Conn) (in []*loop.Stream) {
			for range 150 {
				w.open(client, conn.Uni).Write([]byte("x"))
				in = append(in, w.accept(server))
			}
			return in
		}},
		{name: "streams that nobody accepts", server: talkative, fill: func(w *world, client, server *loop.Conn) (in []*loop.Stream) {
			for range 150 {
				w.open(client, conn.Uni).Write([]byte("x"))
				time.Sleep(30 * time.Millisecond) // chunks are used again, and not kept for reuse
			}
			return nil
		}},
		{name: "data for which there is no credit", server: talkative, client: stingy, fill: func(w *world, client, server *loop.Conn) (in []*loop.Stream) {
			for range 4 {
				w.open(client, conn.Bidi).Write([]byte("x"))
				s := w.accept(server)
				go s.Write(megabyte)
				in = append(in, s)
			}
			return in
		}},
		{name: "a little more than there is credit for", server: func(c *conn.Config) {
			talkative(c)
			c.UnsentBytes = 1
		}, client: stingy, fill: func(w *world, client, server *loop.Conn) (in []*loop.Stream) {
			for range 150 {
				w.open(client, conn.Bidi).Write([]byte("x"))
				s := w.accept(server)
				s.Write([]byte("abc"))
				in = append(in, s)
			}
			return in
		}},
		{name: "unread datagrams", server: talkative, client: talkative, fill: func(w *world, client, server *loop.Conn) (in []*loop.Stream) {
			// One for all: what the test itself keeps would look like the Group's.
			ctx := w.ctx()
			go server.ReceiveDatagram(ctx, nil) // the first one
			for range 60 {
				client.SendDatagram(ctx, make([]byte, 1000), 0)
				time.Sleep(time.Millisecond)
			}
			return nil
		}},
	}
}

// accountConns is how many connections use an accountWay at the same time.
const accountConns = 4

// TestAccountBoundsHeap: a peer makes a Group hold memory in every way. The heap grows by no more
// than one and a half times what the accounts say, and 16 KiB for each connection. The account is
// what is really held, and nothing is left in the end.
func TestAccountBoundsHeap(t *testing.T) {
	for _, way := range accountWays() {
		t.Run(way.name, func(t *testing.T) {
			run(t, setup{link: near, server: serverConfig(way.server)}, func(t *testing.T, w *world) {
				var clients, servers []*loop.Conn
				var in []*loop.Stream
				for range accountConns {
					client, server := w.dial(way.client)
					clients, servers = append(clients, client), append(servers, server)
				}
				heap, account := w.settled()
				idle := w.server.Stats().Held
				for i := range clients {
					in = append(in, way.fill(w, clients[i], servers[i])...)
				}
				fullHeap, fullAccount := w.settled()
				w.checkAccounts()
				heap, account = fullHeap-heap, fullAccount-account
				t.Logf("a connection: %d bytes of heap, %d bytes counted", heap/accountConns, account/accountConns)
				if heap > account*3/2+accountConns*16<<10 {
					t.Errorf("%d bytes of heap, %d are counted", heap, account)
				}
				if s := w.server.Stats(); s.Held <= idle || s.HeldBy.Above <= 0 {
					t.Errorf("%d bytes are held, %d before; %d of them above", s.Held, idle, s.HeldBy.Above)
				}
				for _, s := range servers {
					s.Close(0, "")
				}
				w.server.Close()
				for _, s := range in {
					s.Close()
				}
				for _, s := range servers {
					w.takeAll(s)
				}
				if s := w.server.Stats(); s.Held != 0 || s.HeldBy.Above != 0 {
					t.Errorf("%d bytes are held in the end, %d of them above", s.Held, s.HeldBy.Above)
				}
			})
		})
	}
}

// settled returns how many bytes the heap has and how many the accounts of both Groups count, once
// nothing moves any more.
func (w *world) settled() (heap, account int64) {
	time.Sleep(10 * time.Second)
	synctest.Wait()
	account = w.server.Stats().Held + w.client.Stats().Held
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse), account
}

// checkAccounts checks that the accounts are what is really held.
func (w *world) checkAccounts() {
	w.Helper()
	synctest.Wait()
	for _, g := range []*loop.Group{w.server, w.client} {
		if err := g.CheckAccounts(); err != nil {
			w.Error(err)
		}
	}
}

// takeAll takes everything that nobody has taken of an ended connection.
func (w *world) takeAll(c *loop.Conn) {
	for {
		s, err := c.AcceptStream(w.ctx())
		if err != nil {
			break
		}
		s.Close()
	}
	for {
		if _, err := c.ReceiveDatagram(w.ctx(), make([]byte, 1500)); err != nil {
			return
		}
	}
}

// TestForgottenConnectionsDoNotCount: an application drops an ended connection and never closes its
// streams. Nothing counts for them once they are garbage, even if no other connection comes.
func TestForgottenConnectionsDoNotCount(t *testing.T) {
	run(t, setup{link: near}, func(t *testing.T, w *world) {
		held := func() int64 { return w.server.Stats().Held }
		func() {
			client, server := w.dial(nil)
			w.open(client, conn.Uni).Write(make([]byte, 100_000))
			w.accept(server)
			time.Sleep(time.Second)
			client.Close(0, "")
			<-server.Context().Done()
		}()
		time.Sleep(time.Minute)
		if n := held(); n < 100_000 {
			t.Fatalf("%d bytes are held for the reader", n)
		}
		for range 3000 { // cleanups run some time after the collection
			runtime.GC()
			time.Sleep(time.Second)
			if held() == 0 {
				return
			}
		}
		t.Errorf("%d bytes are counted for nobody", held())
	})
}

// TestWritersKeepToMaxBuffered: 8 clients give no credit for 400 answers of a megabyte. All that
// the server keeps for them stays within MaxBuffered, and another client gets an answer at once.
func TestWritersKeepToMaxBuffered(t *testing.T) {
	cfg := serverConfig(talkative)
	cfg.Endpoint.MaxBuffered = 4 << 20
	run(t, setup{link: near, server: cfg}, func(t *testing.T, w *world) {
		answer := bytes.Repeat([]byte("answer"), 200_000)
		go func() {
			for {
				c, err := w.server.Accept(w.ctx())
				if err != nil {
					return
				}
				go answerAll(w, c, answer)
			}
		}()
		c := w.dialOnly(nil)
		var many []*loop.Conn
		for range 8 { // before the memory is full: then nobody new may come
			many = append(many, w.dialOnly(stingy))
		}
		for _, c := range many {
			for range 50 {
				s := w.open(c, conn.Bidi)
				s.Write([]byte("large"))
				s.CloseWrite()
			}
			time.Sleep(time.Second)
			w.checkAccounts()
		}
		if n := w.server.Stats().Held; n < 2<<20 {
			t.Errorf("%d bytes are held: this shows little", n)
		}
		for range 20 {
			s := w.open(c, conn.Bidi)
			start := time.Now()
			s.Write([]byte("small"))
			s.CloseWrite()
			got, err := io.ReadAll(s)
			if err != nil || len(got) != 5000 || time.Since(start) > time.Second {
				t.Fatalf("%d bytes, %v, after %v", len(got), err, time.Since(start))
			}
			s.Close()
			w.checkAccounts()
		}
		s := w.open(c, conn.Bidi)
		s.Write([]byte("large"))
		s.CloseWrite()
		if got, err := io.ReadAll(s); err != nil || !bytes.Equal(got, answer) {
			t.Errorf("%d bytes, %v", len(got), err)
		}
		w.client.Close()
		time.Sleep(time.Minute)
		if n := w.server.Stats().Held; n != 0 {
			t.Errorf("%d bytes are held for nobody", n)
		}
	})
}

// answerAll answers the request "large" with the whole answer, and any other request with its first
// 5000 bytes.
func answerAll(w *world, c *loop.Conn, answer []byte) {
	for {
		s, err := c.AcceptStream(w.ctx())
		if err != nil {
			return
		}
		go func() {
			defer s.Close()
			if q, err := io.ReadAll(s); err == nil && string(q) == "large" {
				s.Write(answer)
			} else {
				s.Write(answer[:5000])
			}
		}()
	}
}

// TestRoomWakesWriters: the bytes that an Account counts leave a stream no room to write. The
// stream goes on when the Account no longer counts them, although nothing else happens.
func TestRoomWakesWriters(t *testing.T) {
	cfg := serverConfig(nil)
	const limit = 1 << 20
	cfg.Endpoint.MaxBuffered = limit
	run(t, setup{link: near, server: cfg}, func(t *testing.T, w *world) {
		client, server := w.dial(nil)
		s := w.open(server, conn.Uni)
		s.Write([]byte("x"))
		in := w.accept(client)
		_, err := io.ReadFull(in, make([]byte, 1))
		require.NoError(t, err)
		time.Sleep(time.Second)
		// Nothing is written from 15/16 of the limit on. What the connection itself takes and gives
		// back is less than the distance to that, and to the limit.
		held := limit*61/64 - int(w.server.Stats().Held)
		server.Account().Hold(held)
		time.Sleep(time.Second) // the connection learns of it in the next turn
		require.Equal(t, 4096, server.Account().Room(256<<10, 4096))

		wrote, read := make(chan error, 1), make(chan []byte, 1)
		go func() {
			_, err := s.Write(make([]byte, 50_000))
			wrote <- err
			s.Close()
		}()
		go func() {
			b, _ := io.ReadAll(in)
			read <- b
		}()
		time.Sleep(time.Second)
		require.Zero(t, len(wrote), "the stream has room")

		server.Account().Hold(-held)
		start := time.Now()
		require.Equal(t, 50_000, len(<-read))
		require.NoError(t, <-wrote)
		require.Less(t, time.Since(start), time.Second)
	})
}
