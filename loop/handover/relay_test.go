package handover

import (
	"bytes"
	"net/netip"
	"slices"
	"testing"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/internal/require"
)

// A fact is one datagram with all that is known of its arrival.
type fact struct {
	data          string
	remote, local netip.AddrPort
	ecn           conn.ECN
}

// factsOf takes runs apart.
func factsOf(ds ...conn.Datagram) (facts []fact) {
	for _, d := range ds {
		size := d.SegmentSize
		if size == 0 {
			size = len(d.Data)
		}
		for part := range slices.Chunk(d.Data, size) {
			facts = append(facts, fact{string(part), d.Remote, d.Local, d.ECN})
		}
	}
	return facts
}

// TestRelay packs runs into messages and takes them out again.
func TestRelay(t *testing.T) {
	v4, v6 := netip.MustParseAddrPort("192.0.2.1:443"), netip.MustParseAddrPort("[fe80::1%eth0]:5000")
	run := func(n int) []byte {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(i / 7)
		}
		return b
	}
	sent := []conn.Datagram{
		{Data: run(1200), Remote: v4, Local: v4, ECN: conn.ECT0},
		{Data: run(40), Remote: v6, ECN: conn.ECNCE},
		{Data: run(65507), SegmentSize: 1252, Remote: v6, Local: v6},
		{Data: run(65507), Remote: v4},
		{Data: run(30000), SegmentSize: 60, Remote: v4},
		{Remote: v4},
	}
	var p packer
	var got []conn.Datagram
	messages := 0
	take := func(message []byte) {
		messages++
		require.True(t, len(message) <= maxMessage)
		for rest := bytes.Clone(message); len(rest) > 0; {
			d, after, err := next(rest)
			require.NoError(t, err)
			got, rest = append(got, d), after
		}
	}
	for i := range sent {
		p.add(&sent[i], take)
	}
	p.flush(take)
	p.flush(take)
	require.Equal(t, factsOf(sent[:5]...), factsOf(got...))
	require.True(t, messages >= 4)
}

// FuzzMessage has next read what no packer has written.
func FuzzMessage(f *testing.F) {
	var p packer
	p.add(&conn.Datagram{Data: []byte("datagram"), SegmentSize: 3, Remote: netip.MustParseAddrPort("[::1]:443")}, nil)
	f.Add(p.b)
	f.Fuzz(func(t *testing.T, b []byte) {
		for len(b) > 0 {
			d, rest, err := next(b)
			if err != nil {
				return
			}
			if len(d.Data) == 0 || d.SegmentSize < 0 || len(rest) >= len(b) {
				t.Fatalf("%+v, %d bytes left of %d", d, len(rest), len(b))
			}
			b = rest
		}
	})
}

// TestSuccessorOf: a generation is given again only when nobody has it.
func TestSuccessorOf(t *testing.T) {
	gen, err := successorOf(7, []int{0, 1})
	require.NoError(t, err)
	require.Equal(t, 2, gen)
	_, err = successorOf(3, []int{0, 1, 2, 4, 5, 6, 7})
	require.ErrorContains(t, err, "8 processes live already")
}
