package world

import (
	"encoding/json"
	"fmt"
	"time"
)

// A Message is what goes over streams. Those of the client say what it wants, and those of the
// server what has happened. Which fields there are depends on the Kind of the stream.
type Message struct {
	// On Signalling. The client's first message is its hello, with a name. The answer has the
	// player and what holds for the field.
	Name    string            `json:"name,omitempty"`
	Welcome *Welcome          `json:"welcome,omitempty"`
	Who     []uint32          `json:"who,omitempty"`   // the client asks for names
	Names   map[uint32]string `json:"names,omitempty"` // and gets those of players that there are
	// A signal goes from player to player, and means what they have agreed on.
	To     uint32          `json:"to,omitempty"`
	From   uint32          `json:"from,omitempty"`
	Signal json.RawMessage `json:"signal,omitempty"`

	// On Chat. The server adds From and Name.
	Text    string `json:"text,omitempty"`
	Refused string `json:"refused,omitempty"` // why a line was not passed on

	// On Inventory, from the server.
	Have  *int   `json:"have,omitempty"`  // coins
	Coins []Coin `json:"coins,omitempty"` // where coins lie now
}

// A Welcome is the answer to a hello.
type Welcome struct {
	ID   uint32 `json:"id"`
	X    int    `json:"x"`
	Y    int    `json:"y"`
	Size int    `json:"size"`
	View int    `json:"view"`
	Rate int    `json:"rate"` // ticks a second
	// How far a player gets in a tick.
	Speed int `json:"speed"`
}

// maxSignal is how long a signal may be, in bytes.
const maxSignal = 512

// message takes a message of the client in.
func (c *Channel) message(now time.Time, b []byte) error {
	var m Message
	if err := json.Unmarshal(b, &m); err != nil {
		return fmt.Errorf("%w: %w", ErrProtocol, err)
	}
	switch c.kind {
	case Signalling:
		return c.signalling(now, &m)
	case Chat:
		return c.say(now, &m)
	default:
		return fmt.Errorf("%w: a message on a stream that is the server's", ErrProtocol)
	}
}

// signalling answers a hello, a question for names, and passes a signal on.
func (c *Channel) signalling(now time.Time, m *Message) error {
	s, w := c.s, c.s.w
	if s.player == nil {
		name := clean(m.Name, MaxName)
		if name == "" {
			return fmt.Errorf("%w: the first message is no hello", ErrProtocol)
		}
		p := w.join(now, s, name)
		if p == nil {
			return ErrFull
		}
		s.player = p
		c.send(Message{Welcome: &Welcome{p.ID, p.x, p.y, Size, View, TickRate, MaxSpeed}})
		if inv := s.channels[Inventory]; inv != nil {
			inv.send(Message{Have: &p.have})
		}
		return nil
	}
	if len(m.Who) > MaxSeen {
		return fmt.Errorf("%w: it asks for %d names", ErrProtocol, len(m.Who))
	}
	if len(m.Who) > 0 {
		names := make(map[uint32]string, len(m.Who))
		for _, id := range m.Who {
			if p := w.byID[id]; p != nil {
				names[id] = p.Name
			}
		}
		c.send(Message{Names: names})
	}
	if m.To != 0 {
		return c.signal(now, m)
	}
	return nil
}

// signal passes a signal on to a player, if there is one with that ID.
func (c *Channel) signal(now time.Time, m *Message) error {
	if len(m.Signal) == 0 || len(m.Signal) > maxSignal {
		return fmt.Errorf("%w: a signal of %d bytes", ErrProtocol, len(m.Signal))
	}
	p := c.s.w.byID[m.To]
	if p == nil || p.s.channels[Signalling] == nil || !c.s.player.chat.take(now) {
		return nil
	}
	p.s.channels[Signalling].send(Message{From: c.s.player.ID, Name: c.s.player.Name, Signal: m.Signal})
	return nil
}

// say passes a line of chat on to all who chat.
func (c *Channel) say(now time.Time, m *Message) error {
	p := c.s.player
	text := clean(m.Text, MaxText)
	switch {
	case p == nil:
		return fmt.Errorf("%w: chat before hello", ErrProtocol)
	case text == "":
		return nil
	case !p.chat.take(now):
		c.send(Message{Refused: "too many lines"})
		return nil
	}
	c.s.w.counters.Chats++
	c.s.w.broadcast(Chat, Message{From: p.ID, Name: p.Name, Text: text})
	return nil
}

// broadcast sends a message on all channels of a kind.
func (w *World) broadcast(kind Kind, m Message) {
	if len(w.hearers[kind]) == 0 {
		return
	}
	b := AppendMessage(nil, m)
	for _, c := range w.hearers[kind] {
		c.sendBytes(b)
	}
}
