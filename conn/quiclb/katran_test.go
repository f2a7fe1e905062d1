package quiclb

import (
	"cmp"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	"github.com/lazoquic/lazo/internal/require"
)

// TestKatranVectors reads the IDs of Katran's own tests. Its mappings there have the server IDs
// 1022 to 1027, with and without 0x030000 (github.com/facebookincubator/katran,
// katran/lib/testing/fixtures/KatranBaseTestFixtures.h, cases 26 to 35, and
// utils/KatranTestProvision.cpp).
func TestKatranVectors(t *testing.T) {
	for _, v := range []struct {
		cid  string
		want uint32 // 0 if Katran hashes the addresses
	}{
		{"4100030405060700", 1024},
		{"4100830405060700", 1026},
		{"4111000000000000", 1092},
		{"4000030405060700", 0},
		{"8003040205060700", 0x030000 | 1026},
		{"8003044400000000", 197700},
		{"00ffffffffffffff", 0},
		{"c0aabbccdd000000", 0}, // negative as an int of C, which is what Katran keeps it in
		{"c07fffffffff8000", 0x7fffffff},
		{"410003040506", 0}, // shorter than Katran reads
	} {
		cid := unhex(t, v.cid)
		sid, ok := KatranDecoder{}.ServerID([]byte("x"), cid)
		require.Equal(t, v.want != 0, ok, v.cid)
		if ok {
			require.Equal(t, "x"+string(binary.BigEndian.AppendUint32(nil, v.want)), string(sid), v.cid)
		} else {
			require.Equal(t, "x", string(sid))
		}
	}
}

// TestMvfstVectors makes the IDs that mvfst's own tests decode (github.com/facebook/mvfst,
// quic/codec/test/DefaultConnectionIdAlgoTest.cpp). They are as long as their meaning reaches, in
// bits; what follows is random.
func TestMvfstVectors(t *testing.T) {
	for _, v := range []struct {
		cfg  KatranConfig
		want string // bits; x is random
	}{
		{KatranConfig{Version: 1, ServerID: 0xffff, WorkerID: 0xaa, ProcessID: 1, Len: 8},
			"01" + "1111111111111111" + "10101010" + "1"},
		{KatranConfig{Version: 2, ServerID: 0xaabbcc, WorkerID: 0xff, ProcessID: 1, Len: 8},
			"10xxxxxx" + "10101010" + "10111011" + "11001100" + "11111111" + "1"},
		// With the host ID 0xAABBCCDD mvfst's test has the 32nd bit, which Katran does not take.
		{KatranConfig{Version: 3, ServerID: 0x2abbccdd, WorkerID: 0xff, ProcessID: 1},
			"11xxxxxx" + "00101010" + "10111011" + "11001100" + "11011101" + "11111111" + "1"},
		{KatranConfig{Version: 3, ServerID: 1, Len: 20},
			"11xxxxxx" + "00000000" + "00000000" + "00000000" + "00000001" + "00000000" + "0"},
	} {
		s, err := NewKatranSource(v.cfg, seeded(v.cfg.Version))
		require.NoError(t, err)
		size := cmp.Or(v.cfg.Len, 12)
		var or, and [20]byte // of all IDs: bits that vary are 1 in or, and 0 in and
		and = [20]byte(unhex(t, strings.Repeat("ff", 20)))
		for range 200 {
			var b [20]byte
			require.Equal(t, size, s.Generate(&b))
			for i := range size {
				or[i] |= b[i]
				and[i] &= b[i]
			}
			for i := size; i < len(b); i++ {
				require.Zero(t, b[i], "a byte behind the ID")
			}
			sid, ok := KatranDecoder{}.ServerID(nil, b[:size])
			require.True(t, ok)
			require.Equal(t, v.cfg.ServerID, binary.BigEndian.Uint32(sid))
		}
		var got strings.Builder
		for bit := range 8 * size {
			mask := byte(0x80) >> (bit % 8)
			switch {
			case and[bit/8]&mask != 0:
				got.WriteByte('1')
			case or[bit/8]&mask == 0:
				got.WriteByte('0')
			default:
				got.WriteByte('x')
			}
		}
		require.Equal(t, v.want+strings.Repeat("x", 8*size-len(v.want)), got.String())
	}
}

// TestKatranLen: a packet with a short header shows the ID, and IDs of another version of the
// layout, too.
func TestKatranLen(t *testing.T) {
	for version := uint8(1); version <= 3; version++ {
		s, err := NewKatranSource(KatranConfig{Version: version, ServerID: 7, Len: 12}, seeded(1))
		require.NoError(t, err)
		for other := uint8(1); other <= 3; other++ {
			o, err := NewKatranSource(KatranConfig{Version: other, ServerID: 8, Len: 12}, seeded(2))
			require.NoError(t, err)
			var b [20]byte
			o.Generate(&b)
			require.Equal(t, 12, s.Len(b[:]))
			require.Equal(t, -1, s.Len(b[:11]))
			require.Equal(t, 8, KatranDecoder{}.Len(b[:8]))
			require.Equal(t, -1, KatranDecoder{}.Len(b[:7]))
		}
	}
	require.Equal(t, -1, KatranDecoder{}.Len(make([]byte, 20)), "version 0 tells no server ID")
	require.Equal(t, -1, KatranDecoder{}.Len(nil))
}

func TestKatranConfig(t *testing.T) {
	good := KatranConfig{Version: 1, ServerID: 0xffff, WorkerID: 255, ProcessID: 1, Len: 8}
	for _, v := range []struct {
		change func(c *KatranConfig)
		want   string
	}{
		{func(c *KatranConfig) {}, ""},
		{func(c *KatranConfig) { c.Version = 0 }, "version 0"},
		{func(c *KatranConfig) { c.Version = 4 }, "version 4"},
		{func(c *KatranConfig) { c.ServerID = 0 }, "server ID 0 is not 1 to 65535"},
		{func(c *KatranConfig) { c.ServerID = 1 << 16 }, "server ID 65536 is not 1 to 65535"},
		{func(c *KatranConfig) { c.Version, c.ServerID = 2, 1<<24 }, "is not 1 to 16777215"},
		{func(c *KatranConfig) { c.Version, c.ServerID = 3, 1<<31 }, "is not 1 to 2147483647"},
		{func(c *KatranConfig) { c.ProcessID = 2 }, "process ID 2"},
		{func(c *KatranConfig) { c.Len = 7 }, "length 7 is not 8 to 20"},
		{func(c *KatranConfig) { c.Len = 21 }, "length 21"},
	} {
		cfg := good
		v.change(&cfg)
		_, err := NewKatranSource(cfg, seeded(1))
		if v.want == "" {
			require.NoError(t, err)
			continue
		}
		require.ErrorContains(t, err, v.want)
	}
}

// FuzzKatranDecoder: what has an ID for ParseHeader is long enough, and a server ID comes with it.
func FuzzKatranDecoder(f *testing.F) {
	for _, cid := range []string{"", "41", "4100030405060700", "ffffffffffffffffffffffffffffffffffffffff"} {
		b, _ := hex.DecodeString(cid)
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		n := KatranDecoder{}.Len(b)
		sid, ok := KatranDecoder{}.ServerID(nil, b)
		require.LessOrEqual(t, n, len(b))
		if ok {
			require.Len(t, sid, 4)
			require.Equal(t, 8, n, fmt.Sprintf("%x", b))
		}
	})
}
