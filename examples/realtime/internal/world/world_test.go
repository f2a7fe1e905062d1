package world

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lazoquic/lazo/internal/require"
)

// start is when worlds of tests begin.
var start = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// A player is a session with its streams, as a client has them.
type player struct {
	t    *testing.T
	s    *Session
	kind [kinds]*Channel
	id   uint32
	seq  uint32
}

// join connects a player that says hello and opens all streams.
func join(t *testing.T, w *World, now time.Time, name string) *player {
	t.Helper()
	p := &player{t: t, s: w.Connect()}
	for kind := Signalling; kind < kinds; kind++ {
		p.kind[kind] = p.s.Open()
		require.NoError(t, p.kind[kind].Receive(now, []byte{byte(kind)}))
	}
	p.say(now, Signalling, Message{Name: name})
	got := p.read(Signalling)
	require.Len(t, got, 1)
	require.Equal(t, w.Players(), len(w.players))
	p.id = got[0].Welcome.ID
	p.read(Inventory)
	return p
}

// say sends a message, byte by byte.
func (p *player) say(now time.Time, kind Kind, m Message) {
	p.t.Helper()
	for _, c := range AppendMessage(nil, m) {
		require.NoError(p.t, p.kind[kind].Receive(now, []byte{c}))
	}
}

// read returns the messages that wait for the client.
func (p *player) read(kind Kind) (got []Message) {
	p.t.Helper()
	c := p.kind[kind]
	var in Messages
	for len(c.Unsent()) > 0 {
		n := min(len(c.Unsent()), 100)
		more, err := in.Read(c.Unsent()[:n])
		require.NoError(p.t, err)
		got = append(got, more...)
		c.Sent(n)
	}
	return got
}

// at puts the player somewhere, at once.
func (p *player) at(now time.Time, x, y int) {
	p.move(now, now, x, y)
	p.s.player.x, p.s.player.y = x, y
}

// move sends a position that was true at born.
func (p *player) move(now, born time.Time, x, y int) {
	p.seq++
	p.s.Datagram(now, position(p.seq, tenths(born.Sub(start)), x, y))
}

func position(seq, born uint32, x, y int) []byte {
	b := binary.BigEndian.AppendUint32([]byte{typeMove}, seq)
	b = binary.BigEndian.AppendUint32(b, born)
	b = binary.BigEndian.AppendUint32(b, 77)
	b = binary.BigEndian.AppendUint16(b, uint16(x))
	return binary.BigEndian.AppendUint16(b, uint16(y))
}

// sees returns the IDs of the players in the snapshot of p.
func (p *player) sees(now time.Time) (ids []uint32) {
	b := p.s.Snapshot(now, nil)
	require.Len(p.t, b, headLen+seenLen*int(b[headLen-1]))
	for b = b[headLen:]; len(b) > 0; b = b[seenLen:] {
		ids = append(ids, binary.BigEndian.Uint32(b))
	}
	return ids
}

func TestNewestPositionWins(t *testing.T) {
	now := start.Add(time.Minute)
	w := New(start, 1)
	p := join(t, w, now, "Ann")
	goal := func() [2]int { return [2]int{p.s.player.goalX, p.s.player.goalY} }
	p.s.Datagram(now, position(1<<32-2, 0, 10, 10))
	p.s.Datagram(now, position(1<<32-1, 0, 11, 11))
	p.s.Datagram(now, position(1<<32-2, 0, 12, 12)) // older
	p.s.Datagram(now, position(1<<32-1, 0, 13, 13)) // the same again
	require.Equal(t, [2]int{11, 11}, goal())
	p.s.Datagram(now, position(1, 0, 14, 14)) // the number has wrapped
	require.Equal(t, [2]int{14, 14}, goal())
	require.Equal(t, Counters{Positions: 3, Late: 2}, w.Counters())
}

func TestStalePositionIsDropped(t *testing.T) {
	now := start.Add(time.Minute)
	w := New(start, 1)
	p := join(t, w, now, "Ann")
	p.move(now, now.Add(-MaxAge-time.Millisecond), 10, 10)
	require.Equal(t, Counters{Stale: 1}, w.Counters())
	require.False(t, p.s.player.moved)
	p.move(now, now.Add(-MaxAge), 20, 20)
	require.Equal(t, 20, p.s.player.goalX)
	p.move(now, now.Add(time.Hour), 30, 30) // from the future: it is of now
	require.Equal(t, now, p.s.player.born)
	require.Equal(t, Counters{Positions: 2, Stale: 1}, w.Counters())
}

// TestSnapshot checks the bytes of a snapshot: its own player, another one, ages and the echo.
func TestSnapshot(t *testing.T) {
	now := start.Add(time.Second)
	w := New(start, 1)
	p, q, far := join(t, w, now, "Ann"), join(t, w, now, "Bob"), join(t, w, now, "Cy")
	p.at(now, 1000, 1000)
	q.at(now.Add(5*time.Millisecond), 1000, 1000+View)
	far.at(now, 1000, 1000+View+1)
	now = now.Add(15 * time.Millisecond)
	w.Tick(now)
	want := []byte{typeMove, 0, 0, 0, 1, 0, 0, 10150 >> 8, 10150 & 255, 0, 0, 0, 77, 0, 150, 2,
		0, 0, 0, byte(p.id), 1000 >> 8, 1000 & 255, 1000 >> 8, 1000 & 255, 0, 150,
		0, 0, 0, byte(q.id), 1000 >> 8, 1000 & 255, 1512 >> 8, 1512 & 255, 0, 100}
	require.Equal(t, want, p.s.Snapshot(now, nil))

	// Nobody sees a player who has gone, or is silent. A player sees itself.
	q.s.Close()
	require.Equal(t, []uint32{p.id}, p.sees(now))
	require.Empty(t, q.s.Snapshot(now, nil))
	far.at(now, 1000, 1000)
	now = now.Add(Silence)
	w.Tick(now)
	require.Equal(t, []uint32{p.id, far.id}, p.sees(now))
	now = now.Add(time.Millisecond)
	w.Tick(now)
	require.Equal(t, []uint32{p.id}, p.sees(now))
}

// TestSpeed checks that a player who claims to be far away gets there no faster than others.
func TestSpeed(t *testing.T) {
	w := New(start, 1)
	p := join(t, w, start, "Ann")
	p.at(start, 100, 100)
	p.move(start, start, 0xffff, 90)
	for i := 1; i <= 3; i++ {
		w.Tick(start)
		require.Equal(t, [2]int{100 + i*MaxSpeed, 90}, [2]int{p.s.player.x, p.s.player.y})
	}
	for range Size {
		w.Tick(start)
	}
	require.Equal(t, Size-1, p.s.player.x) // never outside
}

// TestCrowd checks that in a crowd a snapshot stays small, and that all players are seen in turn.
func TestCrowd(t *testing.T) {
	w := New(start, 1)
	var crowd []*player
	for i := range 1000 {
		crowd = append(crowd, join(t, w, start, fmt.Sprint("bot ", i)))
		crowd[i].at(start, 1000, 1000)
	}
	seen := map[uint32]bool{}
	for range 2 * 1000 / MaxSeen {
		w.Tick(start)
		ids := crowd[0].sees(start)
		require.Len(t, ids, MaxSeen)
		for _, id := range ids {
			seen[id] = true
		}
	}
	require.Len(t, seen, 1000)

	// In the cells beside them, others may stand out of sight. They cost no more.
	watcher := join(t, w, start, "Ann")
	watcher.at(start, 1000+View+400, 1000)
	w.Tick(start)
	looked := 0
	w.near(watcher.s.player, func(*Player) bool { looked++; return true })
	require.Equal(t, 0, looked)
	require.True(t, MaxSnapshot <= 1150, "a snapshot fits into any packet")
}

// TestInterest counts the players in all snapshots of a tick: with twice as many players on the
// same density it is twice as many, not four times.
func TestInterest(t *testing.T) {
	count := func(width int) (total int) {
		w := New(start, 1)
		var all []*player
		for x := 0; x < width; x += 128 {
			for y := 0; y < Size; y += 128 {
				p := join(t, w, start, "bot")
				p.at(start, x, y)
				all = append(all, p)
			}
		}
		w.Tick(start)
		for _, p := range all {
			total += len(p.sees(start))
		}
		return total
	}
	half, whole := count(Size/2), count(Size)
	require.True(t, whole < 5*half/2, "%d and %d", half, whole)
}

func TestChat(t *testing.T) {
	w := New(start, 1)
	p, q := join(t, w, start, "Ann\x00\n"), join(t, w, start, strings.Repeat("é", 30))
	p.say(start, Chat, Message{Text: "hello\u0007 <b>"})
	want := []Message{{From: p.id, Name: "Ann", Text: "hello <b>"}}
	require.Equal(t, want, q.read(Chat))
	require.Equal(t, want, p.read(Chat))
	q.say(start, Signalling, Message{Who: []uint32{p.id, q.id, 99}})
	names := map[uint32]string{p.id: "Ann", q.id: strings.Repeat("é", MaxName/2)}
	require.Equal(t, []Message{{Names: names}}, q.read(Signalling))
	p.say(start, Signalling, Message{To: q.id, Signal: json.RawMessage(`{"wave":1}`)})
	require.Equal(t, []Message{{From: p.id, Name: "Ann", Signal: json.RawMessage(`{"wave":1}`)}}, q.read(Signalling))
	p.say(start, Signalling, Message{To: 99, Signal: json.RawMessage(`1`)})

	// More lines than a person writes are refused.
	refused := 0
	for range 2 * ChatBurst {
		p.say(start, Chat, Message{Text: "spam"})
		for _, m := range p.read(Chat) {
			if m.Refused != "" {
				refused++
			}
		}
	}
	require.True(t, refused > ChatBurst)
	require.True(t, len(q.read(Chat)) <= ChatBurst)
	p.say(start.Add(2*time.Second), Chat, Message{Text: "later"})
	require.Len(t, q.read(Chat), 1)
}

func TestCoins(t *testing.T) {
	w := New(start, 1)
	p, q := join(t, w, start, "Ann"), join(t, w, start, "Bob")
	q.at(start, 0, 0)
	before := w.coins[7]
	p.at(start, before.x, before.y)
	w.Tick(start)
	one := 1
	got := p.read(Inventory)
	require.Equal(t, Message{Have: &one}, got[len(got)-1])
	require.Len(t, q.read(Inventory), 1)
	require.NotEqual(t, before, w.coins[7])
}

func TestVoice(t *testing.T) {
	w := New(start, 1)
	var all []*player
	for range 2 + maxHearers {
		p := join(t, w, start, "Ann")
		p.at(start, 500, 500)
		all = append(all, p)
	}
	w.Tick(start)
	all[0].s.Datagram(start, []byte{typeVoice, 0, 9, 'a', 'b'})
	heard := 0
	for _, p := range all {
		for _, f := range p.s.Frames() {
			require.Equal(t, []byte{typeVoice, 0, 0, 0, byte(all[0].id), 0, 9, 'a', 'b'}, f)
			heard++
		}
	}
	require.Equal(t, maxHearers, heard)
	for range 1000 {
		all[0].s.Datagram(start, []byte{typeVoice, 0, 9, 'a'})
	}
	for _, p := range all {
		require.True(t, len(p.s.Frames()) <= maxFrames)
	}
	require.Equal(t, Counters{Positions: uint64(len(all)), Voice: VoiceRate, Muted: 1001 - VoiceRate}, w.Counters())
}

// TestDeterministic checks that a world is a function of what it is told.
func TestDeterministic(t *testing.T) {
	run := func() []byte {
		w := New(start, 3)
		var out []byte
		var all []*player
		for i := range 50 {
			all = append(all, join(t, w, start, "bot"))
			all[i].at(start, 2000+i, 2000)
		}
		for i := range 200 {
			now := start.Add(time.Duration(i) * Tick)
			for k, p := range all {
				p.move(now, now, 2000+10*i, 2000+k)
			}
			if i == 100 {
				all[5].s.Close()
				all = slices.Delete(all, 5, 6)
			}
			w.Tick(now)
			for _, p := range all {
				out = p.s.Snapshot(now, out)
				out = append(out, p.kind[Inventory].Unsent()...)
			}
		}
		return out
	}
	require.Equal(t, run(), run())
}
