package conn_test

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/conntest"
	"github.com/lazoquic/lazo/internal/script"
)

// recordStory plays a story, and returns what each of its endpoints recorded. Servers come first.
func recordStory(t *testing.T, seed uint64) (tapes []*bytes.Buffer) {
	t.Helper()
	s := drawStory(seed, script.FromSeed(seed))
	hash, f := s.playWith(t, func(cfg *conn.EndpointConfig) {
		tapes = append(tapes, new(bytes.Buffer))
		cfg.Record = tapes[len(tapes)-1]
	})
	if f != nil {
		t.Fatalf("seed %d: %v", seed, f)
	}
	if plain, f := s.play(t); f != nil || plain != hash {
		t.Errorf("seed %d: the story is another one when it is recorded: %v", seed, f)
	}
	return tapes
}

func newReplay(t *testing.T, tape io.Reader) *conn.Replay {
	t.Helper()
	r, err := conn.NewReplay(tape, nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestReplayStories: whatever happens to endpoints, their recordings replay, with the same
// datagrams, events and results. Recording changes nothing.
func TestReplayStories(t *testing.T) {
	seeds := uint64(60)
	if testing.Short() {
		seeds = 10
	}
	for seed := range seeds {
		sent := uint64(0)
		for i, tape := range recordStory(t, seed) {
			r := newReplay(t, tape)
			if err := r.Run(); err != nil {
				t.Fatalf("seed %d, endpoint %d: %v", seed, i, err)
			}
			sent += r.Endpoint().Stats().DatagramsSent + r.Endpoint().Stats().PacketsSent
		}
		if sent == 0 {
			t.Errorf("seed %d: the replays have sent nothing", seed)
		}
	}
}

// TestReplayNoticesAnotherCore: an Endpoint that does something else than was recorded is noticed
// with its first datagram that differs, not later.
func TestReplayNoticesAnotherCore(t *testing.T) {
	for seed := range uint64(10) {
		tape := recordStory(t, seed)[0].Bytes()
		all, half := newReplay(t, bytes.NewReader(tape)), newReplay(t, bytes.NewReader(tape))
		if err := all.Run(); err != nil {
			t.Fatal(err)
		}
		entries, _, _ := all.Position()
		changed := 0
		for err := half.Step(); err == nil; err = half.Step() {
			if n, _, _ := half.Position(); n > entries/3 && changed == 0 {
				if conn.HandshakeDoneAgain(half.Endpoint()) {
					changed = n
				}
			}
		}
		if changed == 0 {
			continue // the server had no connection at that time
		}
		var d *conn.DivergenceError
		if err := half.Run(); !errors.As(err, &d) {
			t.Fatalf("seed %d: a server that sends another frame is not noticed: %v", seed, err)
		}
		if entry, _, _ := half.Position(); entry != d.Entry || !isCall(t, tape, entry) {
			t.Errorf("seed %d: entry %d is not the call, and the position is %d", seed, d.Entry, entry)
		}
		if d.Call != "Transmit" || d.Entry <= changed || d.Entry > entries || d.At < 0 {
			t.Errorf("seed %d: changed behind entry %d of %d, and noticed: %v", seed, changed, entries, d)
		}
		if err := half.Step(); !errors.As(err, &d) {
			t.Error("a replay goes on behind the place where it diverges")
		}
	}
}

// isCall reports whether a replay that works is at a call when it is at an entry.
func isCall(t *testing.T, tape []byte, entry int) bool {
	r, at := newReplay(t, bytes.NewReader(tape)), 0
	for at < entry && r.Step() == nil {
		at, _, _ = r.Position()
	}
	return at == entry
}

// TestReplayCutOff: the recording of a program that has died is good up to its last call.
func TestReplayCutOff(t *testing.T) {
	tape := recordStory(t, 1)[0].Bytes()
	last := 0
	for n := len(tape); n > 100; n -= 1 + n/10 {
		r, err := conn.NewReplay(bytes.NewReader(tape[:n]), nil)
		if err != nil {
			break // not even the configuration is there
		}
		if err := r.Run(); err != nil {
			t.Fatalf("%d of %d bytes: %v", n, len(tape), err)
		}
		entries, _, _ := r.Position()
		if last > 0 && entries > last {
			t.Errorf("%d of %d bytes have %d entries, and fewer of them %d", n, len(tape), entries, last)
		}
		last = entries
	}
	if last == 0 {
		t.Error("nothing was replayed")
	}
}

// TestRecordIsAhead: what an Endpoint receives is on its recording before it looks at it.
func TestRecordIsAhead(t *testing.T) {
	var tape bytes.Buffer
	seen := []byte("\x00 neither QUIC nor anything else")
	e, err := conn.NewEndpoint(&conn.EndpointConfig{
		Rand: conntest.Seed(t, 1), Record: &tape,
		NonQUIC: func(now time.Time, d conn.Datagram) {
			if !bytes.Contains(tape.Bytes(), d.Data) {
				t.Error("the datagram is not on the recording")
			}
			seen = nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	e.Receive(time.Unix(1e9, 0), conn.Datagram{Data: bytes.Clone(seen), Remote: mustAddr("10.0.0.1:443")})
	if seen != nil {
		t.Error("NonQUIC was not called")
	}
	if err := newReplay(t, &tape).Run(); err != nil {
		t.Error(err)
	}
}
