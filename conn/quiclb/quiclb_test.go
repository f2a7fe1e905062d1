package quiclb

import (
	"bytes"
	"crypto/aes"
	"encoding/hex"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/lazoquic/lazo/internal/require"
)

// The key of most examples.
const draftKey = "8f95f09245765f80256934e50c66207f"

// vectors are the examples of draft-ietf-quic-load-balancers, Appendix B and Section 5.4.2.4,
// without the ones whose first byte contradicts their configuration. The first three are those of
// Google's quiche, too, which Envoy uses. The last two are quiche's own
// (quiche/quic/load_balancer/load_balancer_decoder_test.cc).
func vectors() []vector {
	return []vector{
		{0, "ed793a", "ee080dbf", draftKey, "0720b1d07b359d3c"},
		{1, "ed793a51d49b8f5fab65", "ee080dbf48", draftKey, "2fcc381bc74cb4fbad2823a3d1f8fed2"},
		{2, "ed793a51d49b8f5f", "ee080dbf48c0d1e5", draftKey, "504dd2d05a7b0de9b2b9907afb5ecf8cc3"},
		{0, "ed793a51d49b8f5fab", "ee080dbf48c0d1e55d", draftKey, "125779c9cc86beb3a3a4a3ca96fce4bfe0cdbc"},
		{0, "31441a", "9c69c275", "fdf726a9893ec05c0632d3956680baf0", "0767947d29be054a"},
		{0, "c4605e", "4504cc4f", "", "07c4605e4504cc4f"},
		{0, "ed793a", "8049718a", "", "07ed793a8049718a"},
		{1, "ed793a51d49b8f5f", "ee15da27c4", "", "2ded793a51d49b8f5fee15da27c4"},
	}
}

type vector struct {
	id                        uint8
	serverID, nonce, key, cid string
}

func (v vector) config(t testing.TB) Config {
	cfg := Config{ID: v.id, ServerID: unhex(t, v.serverID), NonceLen: len(v.nonce) / 2}
	if v.key != "" {
		cfg.Key = (*[16]byte)(unhex(t, v.key))
	}
	return cfg
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	require.NoError(t, err)
	return b
}

// seeded returns a reader of bytes that are random but the same in each run.
func seeded(seed byte) io.Reader {
	return rand.NewChaCha8([32]byte{seed})
}

func TestVectors(t *testing.T) {
	for _, v := range vectors() {
		t.Run(v.cid, func(t *testing.T) {
			// A Source takes its first nonce from the random source, with a key or without.
			s, err := NewSource(v.config(t), bytes.NewReader(unhex(t, v.nonce)))
			require.NoError(t, err)
			var b [20]byte
			n := s.Generate(&b)
			require.Equal(t, v.cid, hex.EncodeToString(b[:n]))
			require.Equal(t, n, s.Len(b[:]))

			d, err := NewDecoder(v.config(t))
			require.NoError(t, err)
			sid, ok := d.ServerID([]byte("x"), append(unhex(t, v.cid), "behind"...))
			require.True(t, ok)
			require.Equal(t, "x"+string(unhex(t, v.serverID)), string(sid))
			require.Equal(t, n, d.Len(append(unhex(t, v.cid), "behind"...)))
		})
	}
}

// The input of a pass is as in the draft's example of expand.
func TestExpand(t *testing.T) {
	block, err := aes.NewCipher(make([]byte, 16))
	require.NoError(t, err)
	var s scratch
	h := split(unhex(t, "aaba3c010203"))
	h.pass(block, 1, &s)
	require.Equal(t, "aaba3c00000000000000000000000601", hex.EncodeToString(s[:16]))
	require.Equal(t, unhex(t, "aaba3c"), h.left[:3])
}

func TestSplitJoin(t *testing.T) {
	h := split(unhex(t, "7040b81b55ccf3"))
	require.Equal(t, "7040b810", hex.EncodeToString(h.left[:4]))
	require.Equal(t, "0b55ccf3", hex.EncodeToString(h.right[:4]))
	b := make([]byte, 7)
	h.join(b)
	require.Equal(t, "7040b81b55ccf3", hex.EncodeToString(b))
}

func TestConfigErrors(t *testing.T) {
	sid := func(n int) []byte { return make([]byte, n) }
	for name, cfg := range map[string]Config{
		"reserved ID":        {ID: 7, ServerID: sid(1), NonceLen: 4},
		"ID beyond 3 bits":   {ID: 8, ServerID: sid(1), NonceLen: 4},
		"no server ID":       {NonceLen: 4},
		"no nonce":           {ServerID: sid(4)},
		"negative nonce":     {ServerID: sid(4), NonceLen: -1},
		"short nonce":        {ServerID: sid(4), NonceLen: 3},
		"20 bytes":           {ServerID: sid(10), NonceLen: 10},
		"long server ID":     {ServerID: sid(16), NonceLen: 4},
		"endless server ID":  {ServerID: sid(1000), NonceLen: 4},
		"endless nonce":      {ServerID: sid(1), NonceLen: 1 << 30},
		"nonce of 19 bytes":  {ServerID: sid(1), NonceLen: 19},
		"all of it too long": {ServerID: sid(19), NonceLen: 19},
	} {
		_, err := NewSource(cfg, seeded(1))
		require.ErrorContains(t, err, "quiclb: ", name)
		_, err = NewDecoder(cfg)
		require.ErrorContains(t, err, "quiclb: ", name)
	}
	_, err := NewDecoder(Config{ID: 3, ServerID: sid(1), NonceLen: 4}, Config{ID: 3, ServerID: sid(2), NonceLen: 4})
	require.ErrorContains(t, err, "quiclb: ")

	failed := errors.New("no entropy")
	_, err = NewSource(Config{ServerID: sid(1), NonceLen: 4, Key: new([16]byte)}, failing{failed})
	require.ErrorIs(t, err, failed)
	s, err := NewSource(Config{ServerID: sid(1), NonceLen: 4}, failing{failed})
	require.NoError(t, err)
	require.Panics(t, func() { s.Generate(new([20]byte)) })
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// eachShape runs f for every length of server ID and nonce, with a key and without.
func eachShape(f func(cfg Config)) {
	for n := 1; n <= 15; n++ {
		for nonceLen := 4; n+nonceLen <= 19; nonceLen++ {
			for _, key := range []*[16]byte{nil, {1, 2, 3}} {
				f(Config{ID: uint8(n % 7), ServerID: bytes.Repeat([]byte{byte(n)}, n), NonceLen: nonceLen, Key: key})
			}
		}
	}
}

// Every shape of IDs is decoded; IDs are not repeated; their last 4 bytes vary.
func TestRoundTrip(t *testing.T) {
	eachShape(func(cfg Config) {
		s, err := NewSource(cfg, seeded(2))
		require.NoError(t, err)
		d, err := NewDecoder(cfg)
		require.NoError(t, err)
		seen := map[string]bool{}
		tails := map[string]bool{}
		for range 50 {
			var b [20]byte
			n := s.Generate(&b)
			require.Equal(t, 1+len(cfg.ServerID)+cfg.NonceLen, n)
			require.Equal(t, n, s.Len(b[:]))
			require.Equal(t, n, d.Len(b[:]))
			sid, ok := d.ServerID(nil, b[:n])
			require.True(t, ok)
			require.Equal(t, cfg.ServerID, sid)
			seen[string(b[:n])] = true
			tails[string(b[n-4:n])] = true
			// The rest of the packet may be short, the ID must not.
			_, ok = d.ServerID(nil, b[:n-1])
			require.False(t, ok)
			require.Equal(t, -1, s.Len(b[:n-1]))
			require.Equal(t, -1, d.Len(b[:n-1]))
			require.Equal(t, -1, s.Len(nil))
		}
		require.Len(t, seen, 50)
		require.Len(t, tails, 50)
		if cfg.Key != nil {
			for id := range seen {
				require.False(t, len(cfg.ServerID) > 3 && strings.Contains(id, string(cfg.ServerID)), "in clear")
			}
		}
	})
}

// Two servers, told apart, and IDs that nobody has issued.
func TestDecoder(t *testing.T) {
	key := &[16]byte{9}
	a := Config{ID: 1, ServerID: []byte("srvA"), NonceLen: 6, Key: key}
	b := Config{ID: 2, ServerID: []byte("B"), NonceLen: 8}
	d, err := NewDecoder(a, b)
	require.NoError(t, err)
	for _, cfg := range []Config{a, b} {
		s, err := NewSource(cfg, seeded(3))
		require.NoError(t, err)
		var id [20]byte
		n := s.Generate(&id)
		sid, ok := d.ServerID(nil, id[:n])
		require.True(t, ok)
		require.Equal(t, cfg.ServerID, sid)

		id[0] ^= 1 // another length
		_, ok = d.ServerID(nil, id[:])
		require.False(t, ok)
		require.Equal(t, -1, d.Len(id[:]))
	}
	for _, cid := range []string{"", "0a0102030405060708090a", "e70102030405060708"} {
		dst, ok := d.ServerID([]byte("dst"), unhex(t, cid))
		require.False(t, ok)
		require.Equal(t, "dst", string(dst))
	}
	require.Equal(t, 8, d.Len(unhex(t, "e701020304050607ff")), "unroutable IDs tell their length")
	require.Equal(t, -1, d.Len(unhex(t, "e7010203040506")))
	require.Equal(t, -1, d.Len(append([]byte{0xff}, make([]byte, 40)...)), "longer than any ID")
	require.Equal(t, -1, d.Len(nil))
	empty, err := NewDecoder()
	require.NoError(t, err)
	require.Equal(t, -1, empty.Len(make([]byte, 20)))
}

func TestSetConfig(t *testing.T) {
	old := Config{ID: 0, ServerID: []byte("old"), NonceLen: 4, Key: &[16]byte{1}}
	s, err := NewSource(old, seeded(4))
	require.NoError(t, err)
	var first [20]byte
	s.Generate(&first)
	require.Equal(t, -1, s.Len([]byte("\x2c0123456789012345678")), "not yet")

	next := Config{ID: 1, ServerID: []byte("next"), NonceLen: 8, Key: &[16]byte{2}}
	require.NoError(t, s.SetConfig(next))
	var second [20]byte
	require.Equal(t, 13, s.Generate(&second))
	require.Equal(t, 8, s.Len(first[:]), "earlier IDs stay valid")
	require.Equal(t, 13, s.Len(second[:]))

	require.Error(t, s.SetConfig(Config{ID: 9}))
	require.Equal(t, 13, s.Generate(&second), "an error changes nothing")

	// The same configuration again goes on with its nonces, whatever came between.
	seen := map[[20]byte]bool{first: true}
	for range 100 {
		require.NoError(t, s.SetConfig(next))
		require.NoError(t, s.SetConfig(old))
		var id [20]byte
		require.Equal(t, 8, s.Generate(&id))
		require.False(t, seen[id])
		seen[id] = true
	}
	require.Equal(t, uint64(1<<32-101), s.current.left)

	// Another key with the same ID and another length starts anew.
	rotated := Config{ID: 0, ServerID: []byte("old"), NonceLen: 5, Key: &[16]byte{3}}
	require.NoError(t, s.SetConfig(rotated))
	require.Equal(t, 9, s.Generate(&second))
	require.Equal(t, 8, s.Len(first[:]))
	require.Equal(t, 9, s.Len(second[:]))

	// What the caller does to its Config afterwards changes nothing.
	*rotated.Key = [16]byte{}
	clear(rotated.ServerID)
	d, err := NewDecoder(Config{ID: 0, ServerID: []byte("old"), NonceLen: 5, Key: &[16]byte{3}})
	require.NoError(t, err)
	n := s.Generate(&second)
	sid, ok := d.ServerID(nil, second[:n])
	require.True(t, ok)
	require.Equal(t, "old", string(sid))
}

// Nonces count up, wrap around, and are not used twice: then IDs become unroutable.
func TestNoncesRunOut(t *testing.T) {
	cfg := Config{ID: 2, ServerID: []byte("s"), NonceLen: 4, Key: &[16]byte{5}}
	s, err := NewSource(cfg, io.MultiReader(bytes.NewReader(unhex(t, "fffffffe")), seeded(5)))
	require.NoError(t, err)
	require.Equal(t, uint64(1<<32), s.current.left)
	s.current.left = 4
	seen := map[[20]byte]bool{}
	for range 4 {
		var b [20]byte
		require.Equal(t, 6, s.Generate(&b))
		require.Equal(t, byte(2), b[0]>>5)
		seen[b] = true
	}
	require.Len(t, seen, 4)
	require.Equal(t, "00000002", hex.EncodeToString(s.current.nonce[:4]))

	d, err := NewDecoder(cfg)
	require.NoError(t, err)
	var b [20]byte
	require.Equal(t, 8, s.Generate(&b), "at least 8 bytes")
	require.Equal(t, byte(0xe7), b[0])
	require.Equal(t, 8, s.Len(b[:]))
	require.Equal(t, 8, d.Len(b[:]))
	_, ok := d.ServerID(nil, b[:])
	require.False(t, ok)

	cfg.Key = &[16]byte{6}
	require.NoError(t, s.SetConfig(cfg))
	require.Equal(t, 6, s.Generate(&b), "routable again")
}

func TestNoAllocs(t *testing.T) {
	for _, nonceLen := range []int{4, 6, 13} {
		cfg := Config{ServerID: []byte("srv"), NonceLen: nonceLen, Key: &[16]byte{1}}
		s, err := NewSource(cfg, seeded(6))
		require.NoError(t, err)
		d, err := NewDecoder(cfg)
		require.NoError(t, err)
		b, dst := new([20]byte), make([]byte, 0, 64)
		require.Zero(t, testing.AllocsPerRun(100, func() {
			n := s.Generate(b)
			if s.Len(b[:]) != n || d.Len(b[:]) != n {
				t.Fatal("length")
			}
			if sid, ok := d.ServerID(dst, b[:n]); !ok || string(sid) != "srv" {
				t.Fatal("server ID")
			}
		}))
	}
}

func FuzzDecoder(f *testing.F) {
	for _, v := range vectors() {
		f.Add(unhex(f, v.cid), v.id, uint8(len(v.serverID)/2), uint8(len(v.nonce)/2), unhex(f, v.key))
	}
	f.Add(unhex(f, "e701020304050607"), uint8(7), uint8(1), uint8(4), []byte{})
	f.Fuzz(func(t *testing.T, cid []byte, id, sidLen, nonceLen uint8, key []byte) {
		cfg := Config{ID: id, ServerID: make([]byte, sidLen), NonceLen: int(nonceLen)}
		if len(key) == 16 {
			cfg.Key = (*[16]byte)(key)
		}
		d, err := NewDecoder(cfg)
		if err != nil {
			return
		}
		before := bytes.Clone(cid)
		sid, ok := d.ServerID(nil, cid)
		n := d.Len(cid)
		if ok != (n > 0 && cid[0]>>5 != unroutable) || ok && len(sid) != int(sidLen) || n > len(cid) || n > 20 {
			t.Fatalf("%x: %x, %v, length %d", cid, sid, ok, n)
		}
		if !bytes.Equal(before, cid) {
			t.Fatal("the packet was changed")
		}
	})
}

// FuzzPermutation checks that decrypting undoes encrypting, and that a permutation
// of the same length is one: no two inputs lead to the same output.
func FuzzPermutation(f *testing.F) {
	for _, v := range vectors() {
		f.Add(unhex(f, v.serverID+v.nonce), uint8(len(v.serverID)/2), unhex(f, draftKey))
	}
	f.Fuzz(func(t *testing.T, b []byte, idLen uint8, key []byte) {
		if len(b) < 5 || len(b) > maxLen || idLen == 0 || int(idLen) > len(b)-minNonceLen || len(key) != 16 {
			return
		}
		block, err := aes.NewCipher(key)
		if err != nil {
			t.Fatal(err)
		}
		var s scratch
		c := bytes.Clone(b)
		encrypt(block, c, &s)
		other := bytes.Clone(b)
		other[len(b)-1]++
		encrypt(block, other, &s)
		if bytes.Equal(c, other) {
			t.Fatalf("%x twice", c)
		}
		decrypt(block, c, int(idLen), &s)
		if !bytes.Equal(c[:idLen], b[:idLen]) {
			t.Fatalf("%x became %x", b[:idLen], c[:idLen])
		}
	})
}

func BenchmarkGenerate(b *testing.B) {
	s, err := NewSource(Config{ServerID: []byte("srv"), NonceLen: 6, Key: &[16]byte{1}}, seeded(7))
	require.NoError(b, err)
	var id [20]byte
	for b.Loop() {
		s.Generate(&id)
	}
}

func BenchmarkServerID(b *testing.B) {
	d, err := NewDecoder(Config{ServerID: []byte("srv"), NonceLen: 4, Key: &[16]byte{1}})
	require.NoError(b, err)
	cid, dst := unhex(b, "0720b1d07b359d3c"), make([]byte, 0, 64)
	for b.Loop() {
		d.ServerID(dst, cid)
	}
}
