package script

import (
	"testing"
	"time"

	"github.com/lazoquic/lazo/internal/require"
)

type play struct {
	Seed  uint64
	Acts  []act
	Pause time.Duration
	Odds  float64
	Run   func()
}

type act struct {
	At   time.Duration
	Do   string
	Loud bool
	Who  []int
}

// TestShrink: what does not matter goes, what does remains and comes close to the least that fails.
func TestShrink(t *testing.T) {
	big := play{Seed: 99, Pause: 1500 * time.Millisecond, Odds: 0.9}
	for i := range 40 {
		big.Acts = append(big.Acts, act{At: time.Duration(i) * 77 * time.Millisecond, Do: "wait", Who: []int{1, 2, i}})
	}
	big.Acts[31] = act{At: 3333333, Do: "shout", Loud: true, Who: []int{4, 70, 3}}
	small, calls := Shrink(big, 1000, func(p play) bool {
		late := false
		for _, a := range p.Acts {
			for _, who := range a.Who {
				late = late || a.Loud && who >= 7
			}
			a.Who = append(a.Who[:0], 0) // its own copy
		}
		return late && p.Pause > time.Second && p.Odds >= 0.25
	})
	require.Equal(t, play{
		Pause: 2 * time.Second, Odds: 0.25, Acts: []act{{Loud: true, Who: []int{7}}},
	}, small)
	require.Less(t, calls, 200)
	require.Equal(t, 4, Size(small))
	require.Len(t, big.Acts, 40)
	require.Equal(t, []int{1, 2, 5}, big.Acts[5].Who)
}

// TestShrinkStops: the number of calls is bounded.
func TestShrinkStops(t *testing.T) {
	n := 0
	_, calls := Shrink(play{Acts: make([]act, 100)}, 10, func(play) bool { n++; return false })
	require.Equal(t, 10, calls)
	require.Equal(t, 10, n)
}

// TestSource: scripts are written as Go, without what is zero or no plain data.
func TestSource(t *testing.T) {
	p := play{Seed: 7, Odds: 0.5, Run: func() {}, Acts: []act{{}, {At: 1500 * time.Microsecond, Do: "say \"x\"", Who: []int{1, 2}}}}
	require.Equal(t, `play{
	Seed: 7,
	Acts: []act{
		{},
		{
			At:  1500 * time.Microsecond,
			Do:  "say \"x\"",
			Who: []int{1, 2},
		},
	},
	Odds: 0.5,
}`, Source(p, "script"))
	require.Equal(t, "script.act{At: -3 * time.Second}", Source(act{At: -3 * time.Second}, "other"))
}

// TestDraw: a seed repeats, and bytes give the least of everything behind their end.
func TestDraw(t *testing.T) {
	a, b := FromSeed(5), FromSeed(5)
	for range 100 {
		require.Equal(t, a.N(1000), b.N(1000))
	}
	d := FromBytes([]byte{0xff, 0xff, 0x80, 0x00})
	require.Equal(t, 9, d.N(10))
	require.InEpsilon(t, 0.5, d.Float(), 0.001)
	require.Equal(t, 0, d.N(10))
	require.False(t, d.One(3))
	require.Equal(t, time.Millisecond, d.Time(time.Millisecond, time.Second))
	require.Equal(t, "first", Pick(d, "first", "second"))
	require.Zero(t, d.Some(2, 0.5))
	sum := 0.0
	for range 1000 {
		x := a.Between(1, 100)
		require.True(t, x >= 1 && x <= 100)
		if x < 10 {
			sum++
		}
	}
	require.InDelta(t, 500, sum, 100)
}

// TestInput: an input is read from its start, and behind its end are zeros.
func TestInput(t *testing.T) {
	in := NewInput([]byte{7, 1, 2, 3, 4})
	require.Equal(t, byte(7), in.Byte())
	require.Equal(t, []byte{1, 2, 3}, in.Bytes(3))
	require.False(t, in.Empty())
	require.Equal(t, []byte{4}, in.Bytes(9))
	require.True(t, in.Empty())
	require.Zero(t, in.Byte())
	require.Empty(t, in.Bytes(2))
}
