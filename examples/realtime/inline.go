package main

import (
	"errors"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/examples/realtime/internal/world"
)

// protocol is the ALPN identifier of the game without HTTP.
const protocol = "lazo-realtime"

// Codes with which connections and sessions end.
const (
	codeEnd      = 0 // the server ends, or the player leaves
	codeProtocol = 1 // the client broke a rule
	codeSlow     = 2 // the client did not read
	codeFull     = 3
)

// codeOf returns the code for an error of a session.
func codeOf(err error) uint32 {
	switch {
	case errors.Is(err, world.ErrSlow):
		return codeSlow
	case errors.Is(err, world.ErrFull):
		return codeFull
	}
	return codeProtocol
}

// voiceAge is how long a frame of voice may wait to be sent.
const voiceAge = 200 * time.Millisecond

// An inline is the connection of a player who speaks QUIC without HTTP. It runs inside the loop.
type inline struct {
	r   *realm
	c   *conn.Conn
	s   *world.Session
	buf [world.MaxSnapshot]byte
}

func newInline(r *realm, c *conn.Conn) *inline {
	k := &inline{r: r, c: c, s: r.w.Connect()}
	r.add(k)
	return k
}

// HandleEvent takes streams and datagrams in.
func (k *inline) HandleEvent(now time.Time, ev conn.Event) {
	switch ev.Kind {
	case conn.EventDatagramReadable:
		for b, ok := k.c.ReceiveDatagram(); ok; b, ok = k.c.ReceiveDatagram() {
			k.s.Datagram(now, b)
		}
	case conn.EventClosed:
		k.r.remove(k)
	default:
		if ev.Stream != nil {
			k.streamEvent(now, ev.Kind, ev.Stream)
		}
	}
	k.r.settle()
}

// streamEvent handles an event of a stream. Its UserData is its channel.
func (k *inline) streamEvent(now time.Time, kind conn.EventKind, st *conn.Stream) {
	if kind == conn.EventStreamOpened && st.ID().Dir() == conn.Bidi {
		ch := k.s.Open()
		ch.UserData, st.UserData = st, ch
		return
	}
	ch, ok := st.UserData.(*world.Channel)
	if !ok {
		k.c.Close(codeProtocol, "a unidirectional stream")
		return
	}
	switch kind {
	case conn.EventStreamReadable:
		k.read(now, st, ch)
	case conn.EventStreamWritable:
		k.write(ch)
	case conn.EventStreamReset, conn.EventStreamStopped:
		ch.Close()
		st.Release()
	}
}

// Flush has nothing to do: what is to be sent is written as it comes.
func (k *inline) Flush(time.Time, *conn.Conn) {}

// read gives the world what came on a stream.
func (k *inline) read(now time.Time, st *conn.Stream, ch *world.Channel) {
	for {
		b, err := st.Peek(1)
		if len(b) > 0 {
			if ch.Receive(now, b) != nil {
				return // settle ends the connection
			}
			st.Discard(len(b))
			continue
		}
		if errors.Is(err, conn.ErrWouldBlock) {
			return
		}
		ch.Close()
		st.CloseWrite()
		st.Release()
		return
	}
}

// write sends what waits in a channel, as far as the stream takes it. EventStreamWritable follows
// when it takes more.
func (k *inline) write(ch *world.Channel) {
	for len(ch.Unsent()) > 0 {
		n, err := ch.UserData.(*conn.Stream).Write(ch.Unsent())
		ch.Sent(n)
		if err != nil {
			return
		}
	}
}

func (k *inline) session() *world.Session { return k.s }

func (k *inline) snapshot(now time.Time) {
	if b := k.s.Snapshot(now, k.buf[:0]); len(b) > 0 {
		// What cannot be sent before the next one would be old.
		k.c.SendDatagram(b, conn.DatagramOptions{MaxAge: world.Tick})
	}
}

func (k *inline) flush() {
	if err := k.s.Err(); err != nil {
		k.c.Close(uint64(codeOf(err)), err.Error())
		return
	}
	for _, f := range k.s.Frames() {
		k.c.SendDatagram(f, conn.DatagramOptions{MaxAge: voiceAge})
	}
	k.s.Channels(k.write)
}

func (k *inline) end() { k.c.Close(codeEnd, "the server ends") }
