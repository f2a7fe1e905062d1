package programs

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/internal/require"
	"github.com/lazoquic/lazo/loop"
)

const tick = 5 * time.Millisecond

// A world is the game of one Loop: no locks.
type world struct {
	l       *loop.Loop
	worlds  []*world // of all Loops
	players []*player
}

// broadcast hands text to the players of all Loops.
func (w *world) broadcast(text []byte) {
	text = append([]byte(nil), text...) // text is lent, and crosses to other goroutines
	for i, l := range w.l.Group().Loops() {
		l.Post(func(time.Time) {
			for _, p := range w.worlds[i].players {
				if p.chat != nil && p.chat.Available() >= len(text) { // whole or not at all
					p.chat.Write(text)
				}
			}
		})
	}
}

// A player is a connection: datagrams with the state of the world, and a stream to chat.
type player struct {
	w     *world
	c     *conn.Conn
	chat  *conn.Stream
	moves uint64
}

func (p *player) Flush(time.Time, *conn.Conn) {}

func (p *player) HandleEvent(now time.Time, ev conn.Event) {
	switch ev.Kind {
	case conn.EventConnected:
		p.w.players = append(p.w.players, p)
		p.c.SetTimer(now)
	case conn.EventTimer:
		state := fmt.Appendf(nil, "players %d moves %d", len(p.w.players), p.moves)
		p.c.SendDatagram(state, conn.DatagramOptions{MaxAge: tick})
		p.c.SetTimer(now.Add(tick))
	case conn.EventDatagramReadable:
		for _, ok := p.c.ReceiveDatagram(); ok; _, ok = p.c.ReceiveDatagram() {
			p.moves++
		}
	case conn.EventStreamOpened:
		p.chat = ev.Stream
	case conn.EventStreamReadable:
		p.read(ev.Stream)
	case conn.EventStreamReset, conn.EventStreamStopped:
		ev.Stream.Release()
		p.chat = nil
	case conn.EventClosed:
		for i, other := range p.w.players {
			if other == p {
				p.w.players = append(p.w.players[:i], p.w.players[i+1:]...)
				break
			}
		}
	}
}

func (p *player) read(s *conn.Stream) {
	for {
		b, err := s.Peek(1)
		if len(b) > 0 {
			p.w.broadcast(b)
			s.Discard(len(b))
			continue
		}
		if !errors.Is(err, conn.ErrWouldBlock) {
			s.CloseWrite()
			s.Release()
			p.chat = nil
		}
		return
	}
}

// TestGame: the server runs inside two loops, and the players block.
func TestGame(t *testing.T) {
	ctx := testContext(t)
	server, client := protos("game")
	worlds := []*world{{}, {}}
	g := listen(t, len(worlds), &loop.Config{
		Endpoint: conn.EndpointConfig{Server: &conn.Config{TLS: server, MaxDatagramFrameSize: 1200}},
		Shard: func(i int, cfg *loop.Config) {
			w := worlds[i]
			w.worlds = worlds
			cfg.NewHandler = func(l *loop.Loop, c *conn.Conn) loop.Handler {
				w.l = l
				return &player{w: w, c: c}
			}
		},
	})
	const players = 8
	joined := make(chan *bufio.Reader)
	var chats []*loop.Stream
	for range players {
		c, err := loop.Dial(ctx, g.LocalAddr().String(), &conn.Config{TLS: client, MaxDatagramFrameSize: 1200})
		require.NoError(t, err)
		defer c.Close(0, "")
		s, err := c.OpenStream(ctx, conn.Bidi)
		require.NoError(t, err)
		chats = append(chats, s)
		go func() {
			_, err := s.Write([]byte("joined\n"))
			r := bufio.NewReader(s)
			if line, readErr := r.ReadString('\n'); err != nil || readErr != nil || line != "joined\n" {
				t.Errorf("%q, %v, %v", line, err, readErr)
			}
			play(ctx, t, c)
			joined <- r
		}()
	}
	var readers []*bufio.Reader
	for range players {
		readers = append(readers, <-joined)
	}
	_, err := chats[0].Write([]byte("hello all\n"))
	require.NoError(t, err)
	for _, r := range readers {
		for line := ""; line != "hello all\n"; {
			line, err = r.ReadString('\n')
			require.NoError(t, err)
		}
	}
}

// play moves until the server has noticed.
func play(ctx context.Context, t *testing.T, c *loop.Conn) {
	b := make([]byte, 1200)
	for moves := 0; moves == 0; {
		if err := c.SendDatagram(ctx, []byte("move"), tick); err != nil {
			t.Error(err)
			return
		}
		n, err := c.ReceiveDatagram(ctx, b)
		if err != nil {
			t.Error(err)
			return
		}
		var players int
		if _, err := fmt.Sscanf(string(b[:n]), "players %d moves %d", &players, &moves); err != nil {
			t.Errorf("%q: %v", b[:n], err)
			return
		}
	}
}
