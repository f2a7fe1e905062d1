package world

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"
	"unicode/utf8"
)

// A Kind says what a stream is for.
type Kind byte

// The kinds of streams.
const (
	Signalling Kind = iota + 1 // hello, names, and signals from player to player
	Chat
	Inventory
	kinds
)

// Bounds of streams.
const (
	MaxMessage = 1024     // bytes of a message
	MaxName    = 24       // bytes of a name
	MaxText    = 300      // bytes of a line of chat
	ChatBurst  = 5        // lines at once; then one a second
	MaxUnsent  = 64 << 10 // bytes that a channel keeps for a client that does not read
)

var (
	// ErrProtocol is wrapped by errors about what a client has sent.
	ErrProtocol = errors.New("world: the client breaks the protocol")

	// ErrSlow is the error of a session whose client does not read its streams.
	ErrSlow = errors.New("world: the client does not read")

	// ErrFull is the error of a session when there are MaxPlayers.
	ErrFull = errors.New("world: there are too many players")
)

// A Session is one connection, and its player from its hello on. After an error its transport
// closes the connection, and calls Close.
type Session struct {
	UserData any // of the transport

	w        *World
	player   *Player
	channels [kinds]*Channel
	frames   [][]byte // of voice, to be sent
	touched  bool     // in World.dirty
	err      error
}

// Connect returns the session of a new connection.
func (w *World) Connect() *Session { return &Session{w: w} }

// Player returns the player, nil before its hello.
func (s *Session) Player() *Player { return s.player }

// Err returns why the session has to end, nil while it goes on.
func (s *Session) Err() error { return s.err }

// Close ends the session and its player.
func (s *Session) Close() {
	if s.player != nil {
		s.w.leave(s.player)
		s.player = nil
	}
	for _, c := range s.channels {
		if c != nil {
			c.Close()
		}
	}
	s.frames = nil
	s.err = errors.Join(s.err, errors.New("world: the session was closed"))
}

// touch makes Dirty return s.
func (s *Session) touch() {
	if !s.touched {
		s.touched = true
		s.w.dirty = append(s.w.dirty, s)
	}
}

// fail notes why the session has to end, and that it has.
func (s *Session) fail(err error) {
	if s.err == nil {
		s.err = err
		s.touch()
	}
}

// listens reports whether the client has use for voice: those who chat have.
func (s *Session) listens() bool { return s.channels[Chat] != nil }

// Dirty calls f for the sessions that have something to send, or that have to end. Call it when the
// World has been told something.
func (w *World) Dirty(f func(*Session)) {
	for len(w.dirty) > 0 {
		s := w.dirty[0]
		w.dirty = w.dirty[1:]
		s.touched = false
		f(s)
	}
	w.dirty = nil
}

// A Channel is one stream of a session.
type Channel struct {
	UserData any // of the transport

	s    *Session
	kind Kind // 0 until it has come
	in   []byte
	out  []byte
}

// Open returns the channel of a stream that the client has opened.
func (s *Session) Open() *Channel { return &Channel{s: s} }

// Channels calls f for the open channels.
func (s *Session) Channels(f func(*Channel)) {
	for _, c := range s.channels {
		if c != nil {
			f(c)
		}
	}
}

// Close ends the channel: what is to be sent is not sent any more.
func (c *Channel) Close() {
	if c.kind == 0 || c.s.channels[c.kind] != c {
		return
	}
	c.s.channels[c.kind] = nil
	hearers := &c.s.w.hearers[c.kind]
	if i := slices.Index(*hearers, c); i >= 0 {
		*hearers = slices.Delete(*hearers, i, i+1)
	}
}

// Unsent returns what is to be sent. It is valid until the next call of anything of the World.
func (c *Channel) Unsent() []byte { return c.out }

// Sent forgets the first n bytes of Unsent.
func (c *Channel) Sent(n int) { c.out = append(c.out[:0], c.out[n:]...) }

// Receive takes in what came on the stream. At an error the session has to end.
func (c *Channel) Receive(now time.Time, b []byte) error {
	if c.s.err != nil {
		return c.s.err
	}
	if err := c.receive(now, b); err != nil {
		c.s.fail(err)
		return err
	}
	return nil
}

func (c *Channel) receive(now time.Time, b []byte) error {
	if c.kind == 0 && len(b) > 0 {
		if err := c.begin(Kind(b[0])); err != nil {
			return err
		}
		b = b[1:]
	}
	for len(b) > 0 {
		// No more than a message is ever kept.
		want := 2
		if len(c.in) >= 2 {
			want += int(binary.BigEndian.Uint16(c.in))
		}
		n := min(want-len(c.in), len(b))
		c.in, b = append(c.in, b[:n]...), b[n:]
		if len(c.in) == 2 {
			if n := binary.BigEndian.Uint16(c.in); n == 0 || n > MaxMessage {
				return fmt.Errorf("%w: a message of %d bytes", ErrProtocol, n)
			}
			continue
		}
		if len(c.in) == want && want > 2 {
			err := c.message(now, c.in[2:])
			c.in = c.in[:0]
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// begin notes the kind of a channel.
func (c *Channel) begin(kind Kind) error {
	if kind == 0 || kind >= kinds {
		return fmt.Errorf("%w: a stream of kind %d", ErrProtocol, kind)
	}
	if c.s.channels[kind] != nil {
		return fmt.Errorf("%w: two streams of kind %d", ErrProtocol, kind)
	}
	c.kind = kind
	c.s.channels[kind] = c
	c.s.w.hearers[kind] = append(c.s.w.hearers[kind], c)
	if kind == Inventory {
		c.send(c.s.w.inventory(c.s.player))
	}
	return nil
}

// send queues a message.
func (c *Channel) send(m Message) { c.sendBytes(AppendMessage(nil, m)) }

// sendBytes queues what AppendMessage has made.
func (c *Channel) sendBytes(b []byte) {
	if len(c.out)+len(b) > MaxUnsent {
		c.s.fail(ErrSlow)
		return
	}
	c.out = append(c.out, b...)
	c.s.touch()
}

// AppendMessage appends a message to b, as it goes on a stream.
func AppendMessage(b []byte, m Message) []byte {
	text, err := json.Marshal(m)
	if err != nil {
		panic(err) // a Message always has a form as JSON
	}
	b = binary.BigEndian.AppendUint16(b, uint16(len(text)))
	return append(b, text...)
}

// clean returns at most n bytes of s, whole characters that can be printed.
func clean(s string, n int) string {
	if len(s) > n {
		s = s[:n]
		for len(s) > 0 && !utf8.ValidString(s) {
			s = s[:len(s)-1]
		}
	}
	out := make([]rune, 0, len(s))
	for _, r := range s {
		if r >= ' ' && r != 0x7f && r != utf8.RuneError {
			out = append(out, r)
		}
	}
	return string(out)
}
