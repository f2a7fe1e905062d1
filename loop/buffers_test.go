package loop

import (
	"testing"
	"time"
)

// A loop that reads little keeps one buffer of 64 KiB, and one that reads often gets all.
func TestInboxGrows(t *testing.T) {
	var quiet, busy inbox
	quiet.init(true)
	busy.init(true)
	now := time.Unix(0, 0)
	for range 10 * busyReads {
		now = now.Add(busyTime / 4)
		quiet.next(now, 1)
	}
	if len(quiet.ms) != 1 {
		t.Errorf("a quiet loop has %d buffers", len(quiet.ms))
	}
	for range busyReads {
		if len(busy.ms) != 1 {
			t.Fatalf("%d buffers after %d full reads", len(busy.ms), busy.full)
		}
		now = now.Add(busyTime / (2 * busyReads))
		busy.next(now, 1)
		busy.next(now, 0)
	}
	if len(busy.ms) != groBuffers {
		t.Errorf("a busy loop has %d buffers", len(busy.ms))
	}
	for i, m := range busy.ms {
		if len(m.Buf) != groBufferSize {
			t.Errorf("buffer %d has %d bytes", i, len(m.Buf))
		}
	}
}

// Each burst of a turn gets leastBurst at least, and none lies over another.
func TestOutboxGrows(t *testing.T) {
	var o outbox
	o.init(64)
	first := o.room(0)
	second := o.room(firstArena - leastBurst)
	if len(first) != firstArena || len(second) != leastBurst || &first[firstArena-1] != &second[leastBurst-1] {
		t.Errorf("bursts begin with %d and %d bytes", len(first), len(second))
	}
	third := o.room(firstArena - leastBurst + 1)
	if len(third) != maxBurst || &third[0] == &first[firstArena-leastBurst+1] {
		t.Errorf("the first burst that did not fit gets %d bytes", len(third))
	}
	if last := o.room(turnBytes - 1); len(last) != maxBurst || len(o.arena) != fullArena {
		t.Errorf("the last burst of a turn gets %d bytes of %d", len(last), len(o.arena))
	}
}
