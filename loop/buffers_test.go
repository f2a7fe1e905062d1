package loop

import (
	"testing"
	"time"
)

// A client that reads little keeps its first buffers, and one that reads often gets all.
func TestInboxGrows(t *testing.T) {
	for _, gro := range []bool{false, true} {
		var quiet, busy, server inbox
		quiet.init(gro, true)
		busy.init(gro, true)
		server.init(gro, false)
		now := time.Unix(0, 0)
		for range 10 * busyReads {
			now = now.Add(busyTime / (busyReads - 2))
			quiet.next(now, firstBuffers)
			quiet.next(now, firstBuffers-1)
		}
		if len(quiet.ms) != firstBuffers || len(quiet.ms[0].Buf) != bufferLen {
			t.Errorf("a quiet loop has %d buffers", len(quiet.ms))
		}
		for range busyReads {
			if len(busy.ms) != firstBuffers {
				t.Fatalf("%d buffers after %d full reads", len(busy.ms), busy.full)
			}
			now = now.Add(busyTime / (2 * busyReads))
			busy.next(now, firstBuffers)
		}
		n, size := buffers, bufferLen
		if gro {
			n, size = groBuffers, groBufferSize
		}
		for _, in := range []*inbox{&busy, &server} {
			if len(in.ms) != n {
				t.Errorf("a busy loop has %d buffers", len(in.ms))
			}
			for i, m := range in.ms {
				if len(m.Buf) != size {
					t.Errorf("buffer %d has %d bytes", i, len(m.Buf))
				}
			}
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
