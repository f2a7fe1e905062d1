package loop

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/quiclb"
	"github.com/lazoquic/lazo/udpio"
)

// testShard returns the sharding and the source of loop index of n.
func testShard(t *testing.T, k uint32, n, index int, src conn.ConnIDSource) (*sharding, conn.ConnIDSource) {
	s := &sharding{k: k, n: n, index: index}
	cfg := conn.EndpointConfig{Rand: rand.NewChaCha8([32]byte{byte(index)}), ConnIDs: src}
	if err := s.shard(&cfg); err != nil {
		t.Fatal(err)
	}
	return s, cfg.ConnIDs
}

func TestShardSource(t *testing.T) {
	for _, n := range []int{2, 3, 4, 16, 64} {
		for index := range n {
			s, src := testShard(t, 0x9e3779b1, n, index, nil)
			seen := make(map[string]bool)
			for range 50 {
				var b [20]byte
				size := src.Generate(&b)
				if size != s.size || src.Len(b[:size]) != size {
					t.Fatalf("ID of %d bytes, want %d", size, s.size)
				}
				if got := udpio.SteerIndex(b[:size], n, s.k); got != index {
					t.Fatalf("an ID of loop %d of %d leads to %d", index, n, got)
				}
				seen[string(b[:size])] = true
			}
			if len(seen) != 50 {
				t.Errorf("50 IDs, %d different", len(seen))
			}
		}
	}
}

// TestShardSourceOfBalancers: IDs that balancers read lead to their loop and generation, too. The
// server ID stays, and the IDs differ.
func TestShardSourceOfBalancers(t *testing.T) {
	type decoder interface {
		ServerID(dst, cid []byte) ([]byte, bool)
	}
	qlb := func(cfg quiclb.Config) (conn.ConnIDSource, decoder, error) {
		src, err := quiclb.NewSource(cfg, rand.NewChaCha8([32]byte{1}))
		if err != nil {
			return nil, nil, err
		}
		d, err := quiclb.NewDecoder(cfg)
		return src, d, err
	}
	katran := func(version uint8) (conn.ConnIDSource, decoder, error) {
		src, err := quiclb.NewKatranSource(quiclb.KatranConfig{Version: version, ServerID: 258}, rand.NewChaCha8([32]byte{1}))
		return src, quiclb.KatranDecoder{}, err
	}
	for _, tt := range []struct {
		name, want string
		make       func() (conn.ConnIDSource, decoder, error)
	}{
		{"in clear", "server", func() (conn.ConnIDSource, decoder, error) {
			return qlb(quiclb.Config{ServerID: []byte("server"), NonceLen: 4})
		}},
		{"one pass", "server", func() (conn.ConnIDSource, decoder, error) {
			return qlb(quiclb.Config{ServerID: []byte("server"), NonceLen: 10, Key: new([16]byte)})
		}},
		{"four passes", "server", func() (conn.ConnIDSource, decoder, error) {
			return qlb(quiclb.Config{ServerID: []byte("server"), NonceLen: 4, Key: new([16]byte)})
		}},
		{"Katran 1", "\x00\x00\x01\x02", func() (conn.ConnIDSource, decoder, error) { return katran(1) }},
		{"Katran 2", "\x00\x00\x01\x02", func() (conn.ConnIDSource, decoder, error) { return katran(2) }},
		{"Katran 3", "\x00\x00\x01\x02", func() (conn.ConnIDSource, decoder, error) { return katran(3) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, n := range []int{2, 3, 8, 64 * MaxGenerations} {
				for _, index := range []int{0, n / 2, n - 1} {
					source, d, err := tt.make()
					if err != nil {
						t.Fatal(err)
					}
					s, src := testShard(t, 0x9e3779b1, n, index, source)
					seen := make(map[string]bool)
					for range 30 {
						var b [20]byte
						id := b[:src.Generate(&b)]
						if got := udpio.SteerIndex(id, n, s.k); got != index {
							t.Fatalf("an ID of place %d of %d leads to %d", index, n, got)
						}
						if sid, ok := d.ServerID(nil, id); !ok || string(sid) != tt.want {
							t.Fatalf("%x has the server ID %q, want %q", id, sid, tt.want)
						}
						seen[string(id)] = true
					}
					if len(seen) != 30 {
						t.Errorf("place %d of %d: 30 IDs, %d different", index, n, len(seen))
					}
				}
			}
		})
	}
}

// fixedSource issues one ID, of n bytes.
type fixedSource int

func (s fixedSource) Generate(b *[20]byte) int { return int(s) }
func (s fixedSource) Len([]byte) int           { return int(s) }

func TestShardSourceThatDoesNotVary(t *testing.T) {
	for index := range 2 {
		_, src := testShard(t, 1, 2, index, fixedSource(8))
		var b [20]byte
		if n := src.Generate(&b); n != 8 { // must end
			t.Errorf("ID of %d bytes, want 8", n)
		}
	}
	s := &sharding{k: 1, n: 2}
	if err := s.shard(&conn.EndpointConfig{ConnIDs: fixedSource(3)}); err == nil {
		t.Error("two loops accept IDs of 3 bytes")
	}
}

// shortPacket returns a packet of size bytes with a short header and the ID.
func shortPacket(id []byte, size int) []byte {
	b := append([]byte{0x40}, id...)
	return append(b, bytes.Repeat([]byte{byte(len(id))}, size-len(b))...)
}

// longPacket returns a packet of size bytes with a long header and the ID.
func longPacket(id []byte, size int) []byte {
	b := append([]byte{0xc0, 0, 0, 0, 1, byte(len(id))}, id...)
	b = append(b, 0)
	return append(b, make([]byte, size-len(b))...)
}

func TestOwner(t *testing.T) {
	const n, k = 4, 0x2545f491
	s, _ := testShard(t, k, n, 2, nil)
	for index := range n {
		_, src := testShard(t, k, n, index, nil)
		var b [20]byte
		id := b[:src.Generate(&b)]
		for _, packet := range [][]byte{shortPacket(id, 30), longPacket(id, 1200)} {
			if got := s.owner(packet); got != index {
				t.Errorf("packet %x is for loop %d, want %d", packet[:14], got, index)
			}
		}
	}
	// A packet without an ID that tells a loop stays where it is.
	for _, packet := range [][]byte{nil, {0x40}, {0x40, 1, 2, 3}, {0xc0, 0, 0, 0, 1}, {0xc0, 0, 0, 0, 1, 20, 1}, longPacket([]byte{1, 2, 3}, 1200)} {
		if got := s.owner(packet); got != 2 {
			t.Errorf("packet %x is for loop %d, want 2", packet, got)
		}
	}
}

// TestSplit cuts GRO batches whose datagrams belong to several loops.
func TestSplit(t *testing.T) {
	const n, k, size = 4, 0x2545f491, 60
	s, _ := testShard(t, k, n, 0, nil)
	var packets [n][]byte
	for i := range packets {
		_, src := testShard(t, k, n, i, nil)
		var b [20]byte
		packets[i] = shortPacket(b[:src.Generate(&b)], size)
	}
	tests := []struct {
		owners string
		last   int // bytes of the last datagram
		want   string
	}{
		{"0", size, "0:60/0 "},
		{"3", 40, "3:40/0 "},
		{"0000", size, "0:240/60 "},
		{"0000", 40, "0:220/60 "},
		{"0011", size, "0:120/60 1:120/60 "},
		{"0010", size, "0:120/60 1:60/0 0:60/0 "},
		{"1230", 40, "1:60/0 2:60/0 3:60/0 0:40/0 "},
		{"22223", 40, "2:240/60 3:40/0 "},
	}
	for _, tt := range tests {
		var data []byte
		for _, o := range tt.owners {
			data = append(data, packets[o-'0']...)
		}
		data = data[:len(data)-size+tt.last]
		d := conn.Datagram{Data: data, SegmentSize: size}
		if len(tt.owners) == 1 {
			d.SegmentSize = 0
		}
		got, pos := "", 0
		for at := 0; at < len(data); {
			var p part
			p, at = s.split(&d, at)
			got += fmt.Sprintf("%d:%d/%d ", p.owner, len(p.d.Data), p.d.SegmentSize)
			if !bytes.Equal(p.d.Data, data[pos:at]) {
				t.Errorf("%s: wrong bytes", tt.owners)
			}
			pos = at
		}
		if got != tt.want {
			t.Errorf("%s: parts %q, want %q", tt.owners, got, tt.want)
		}
	}
}

func TestHandoverIsBounded(t *testing.T) {
	var h handover
	d := conn.Datagram{Data: make([]byte, 1000)}
	n := 0
	for h.add(&d) {
		n++
	}
	if n == 0 || n*1000 > maxHandedBytes {
		t.Errorf("took %d datagrams of 1000 bytes", n)
	}
	h.clear()
	d.Data = d.Data[:1]
	for n = 0; h.add(&d); n++ {
	}
	if n != maxHandedItems {
		t.Errorf("took %d datagrams of 1 byte, want %d", n, maxHandedItems)
	}
}
