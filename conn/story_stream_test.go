package conn

import (
	"testing"

	"github.com/lazoquic/lazo/internal/wire"
)

// Streams: sending, receiving, and how they end (RFC 9000, Sections 2, 3 and 4.5).

// TestStreamPacking fills packets so that every small number of bytes is left over for one more STREAM frame.
func TestStreamPacking(t *testing.T) {
	for _, rest := range []string{"", "x", "xy", "a few bytes"} {
		for size := 1120; size < 1175; size++ {
			tc := newTestConn(t, false, func(s *testSetup) { s.peer.MaxDatagramFrameSize = 2000 })
			if _, err := tc.c.SendDatagram(make([]byte, size), DatagramOptions{}); err == ErrTooLarge {
				break
			}
			s := tc.open(Uni)
			tc.writeStream(s, rest)
			tc.must(s.CloseWrite())
			tc.ignore(wire.FrameDatagram)
			got, fin := "", false
			for tc.collect(); ; {
				f, ok := tc.nextFrame()
				if !ok {
					break
				}
				if f.typ != wire.FrameStream || f.v[1] != uint64(len(got)) {
					t.Fatalf("datagram of %d bytes: %v where offset %d is due", size, f, len(got))
				}
				got, fin = got+f.data, f.fin
			}
			if got != rest || !fin {
				t.Fatalf("datagram of %d bytes: %q was sent, FIN %v; want %q", size, got, fin, rest)
			}
		}
	}
}
