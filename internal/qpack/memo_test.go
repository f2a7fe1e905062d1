package qpack

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/lazoquic/lazo/internal/require"
)

// TestMemo: a Decoder that remembers values decodes the same as one that has seen nothing. Names,
// values and their coding come again at random.
func TestMemo(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	d := NewDecoder(0, 0, -1)
	for range 2000 {
		b := []byte{0, 0}
		for range r.IntN(6) {
			name := r.IntN(len(staticTable))
			if r.IntN(2) == 0 {
				name = r.IntN(8)
			}
			never := byte(0)
			if r.IntN(8) == 0 {
				never = 0x20
			}
			value := strings.Repeat(fmt.Sprint("value-", r.IntN(3)), r.IntN(4)*r.IntN(6))
			b = appendInt(b, 0x50|never, 4, uint64(name))
			if r.IntN(2) == 0 {
				b = appendLiteral(b, 0, 7, value)
			} else { // not compressed, although that would be shorter
				b = append(appendInt(b, 0, 7, uint64(len(value))), value...)
			}
		}
		if r.IntN(20) == 0 {
			b = b[:r.IntN(len(b)+1)]
		}
		want, wantErr := NewDecoder(0, 0, -1).Decode(0, b)
		got, err := d.Decode(0, b)
		require.Equal(t, wantErr, err, "%x", b)
		require.True(t, slices.Equal(want, got), "%x: %v, want %v", b, got, want)
	}
	require.Len(t, d.memo.values, maxMemo)
}

// TestMemoAllocates: from the third time on, values that a peer repeats cost no memory.
func TestMemoAllocates(t *testing.T) {
	section := encode(NewEncoder(0), 0, Field{Name: ":authority", Value: "www.lazo.test"}, Field{Name: "user-agent", Value: "lazo"})
	d := NewDecoder(0, 0, -1)
	decode := func() {
		if fields, err := d.Decode(0, section); err != nil || fields[0].Value != "www.lazo.test" || fields[1].Value != "lazo" {
			t.Fatal(fields, err)
		}
	}
	decode()
	decode()
	require.Zero(t, testing.AllocsPerRun(100, decode))
}

// TestMemoBounds: neither secrets are remembered, nor long values, nor those that may get into no
// table. A section that exceeds the limit does so again when its values are known.
func TestMemoBounds(t *testing.T) {
	d := NewDecoder(0, 0, 200)
	for _, f := range []Field{
		{Name: "cookie", Value: "a=b"}, {Name: "set-cookie", Value: "a=b"}, {Name: "authorization", Value: "Basic abc"},
		{Name: "user-agent", Value: "lazo", Sensitive: true}, {Name: "user-agent", Value: strings.Repeat("~", maxMemoRaw+1)},
	} {
		for range 3 {
			fields, err := d.Decode(0, encode(NewEncoder(0), 0, f))
			require.NoError(t, err)
			require.Equal(t, []Field{f}, fields)
		}
		require.Empty(t, d.memo.values)
	}
	authority, path := Field{Name: ":authority", Value: strings.Repeat("a", 90)}, Field{Name: ":path", Value: "/long"}
	for range 3 {
		_, err := d.Decode(0, encode(NewEncoder(0), 0, authority))
		require.NoError(t, err)
		_, err = d.Decode(0, encode(NewEncoder(0), 0, authority, path, path))
		require.ErrorIs(t, err, ErrTooLarge)
	}
}
