package world

import (
	"encoding/json"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/lazoquic/lazo/internal/require"
)

// TestHostileStreams sends what no client sends. Each is an error, and nothing is kept.
func TestHostileStreams(t *testing.T) {
	long, err := json.Marshal(Message{To: 1, Signal: json.RawMessage(`"` + strings.Repeat("x", maxSignal) + `"`)})
	require.NoError(t, err)
	frame := func(s string) string { return string([]byte{byte(len(s) >> 8), byte(len(s))}) + s }
	for name, c := range map[string]struct {
		joined bool
		bytes  string
	}{
		"no kind":               {false, "\x00"},
		"another kind":          {false, "\x09"},
		"a kind twice":          {true, "\x01"},
		"an empty message":      {false, "\x01\x00\x00"},
		"a long message":        {false, "\x01\x04\x01"},
		"no JSON":               {false, "\x01" + frame("hello")},
		"another type":          {false, "\x01" + frame(`{"name":7}`)},
		"no name":               {false, "\x01" + frame(`{}`)},
		"a name of nothing":     {false, "\x01" + frame(`{"name":"\u0001\u0002"}`)},
		"chat before hello":     {false, "\x02" + frame(`{"text":"hello"}`)},
		"names before hello":    {false, "\x01" + frame(`{"who":[1]}`)},
		"a wish for coins":      {false, "\x03" + frame(`{"have":9}`)},
		"too many names":        {true, "+" + frame(`{"who":[`+strings.Repeat("1,", MaxSeen)+`1]}`)},
		"a long signal":         {true, "+" + frame(string(long))},
		"a signal that is none": {true, "+" + frame(`{"to":1}`)},
	} {
		t.Run(name, func(t *testing.T) {
			w := New(start, 1)
			s := w.Connect()
			ch := s.Open()
			b := []byte(c.bytes)
			if c.joined {
				p := join(t, w, start, "Ann")
				s = p.s
				if b[0] == '+' {
					ch, b = p.kind[Signalling], b[1:]
				} else {
					ch = s.Open()
				}
			}
			require.ErrorIs(t, ch.Receive(start, b), ErrProtocol)
			require.ErrorIs(t, ch.Receive(start, []byte("more")), ErrProtocol)
			ended := 0
			w.Dirty(func(d *Session) {
				require.ErrorIs(t, d.Err(), ErrProtocol)
				ended++
			})
			require.Equal(t, 1, ended)
			s.Close()
			require.Equal(t, 0, w.Players())
			for _, list := range w.hearers {
				require.Empty(t, list)
			}
		})
	}
}

// TestSlowReader checks what is kept for a client that does not read, and that the others go on.
func TestSlowReader(t *testing.T) {
	w := New(start, 1)
	slow, p := join(t, w, start, "slow"), join(t, w, start, "Ann")
	now := start
	for slow.s.Err() == nil {
		now = now.Add(time.Second)
		p.say(now, Chat, Message{Text: strings.Repeat("x", MaxText)})
		require.Len(t, p.read(Chat), 1)
		require.True(t, len(slow.kind[Chat].Unsent()) <= MaxUnsent)
	}
	require.ErrorIs(t, slow.s.Err(), ErrSlow)
	slow.s.Close()
	p.say(now.Add(time.Second), Chat, Message{Text: "still there"})
	require.Len(t, p.read(Chat), 1)
}

func TestFull(t *testing.T) {
	w := New(start, 1)
	var last *player
	for range MaxPlayers {
		last = join(t, w, start, "bot")
	}
	late := w.Connect()
	hello := AppendMessage([]byte{byte(Signalling)}, Message{Name: "Ann"})
	require.ErrorIs(t, late.Open().Receive(start, hello), ErrFull)
	late.Close()
	last.s.Close()
	require.NoError(t, w.Connect().Open().Receive(start, hello))
	require.Equal(t, MaxPlayers, w.Players())
}

// TestRandomBytes sends noise, on streams and as datagrams, to the server and to a client.
func TestRandomBytes(t *testing.T) {
	const seed = 1
	t.Log("seed", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	w := New(start, 1)
	p := join(t, w, start, "Ann")
	c := NewClient(start)
	c.Ages = new(Ages)
	for i := range 20_000 {
		now := start.Add(time.Duration(i) * time.Millisecond)
		b := make([]byte, rng.IntN(2*headLen+3))
		for k := range b {
			b[k] = byte(rng.Uint32())
		}
		if len(b) > 0 {
			b[0] %= 4
		}
		p.s.Datagram(now, b)
		if len(b) == headLen+seenLen {
			b[headLen-1] = 1
		}
		c.Datagram(now, b)
		s := w.Connect()
		ch := s.Open()
		for ch.Receive(now, b) == nil && rng.IntN(20) > 0 {
			require.True(t, len(ch.in) <= 2+MaxMessage)
		}
		s.Close()
		w.Tick(now)
		require.True(t, p.s.player.x >= 0 && p.s.player.x < Size && p.s.player.y >= 0 && p.s.player.y < Size)
		p.s.Snapshot(now, nil)
		w.Dirty(func(s *Session) { s.Frames() })
		for _, kind := range p.kind[1:] {
			kind.Sent(len(kind.Unsent()))
		}
	}
	require.Equal(t, 1, w.Players())
}
