// Package script makes, prints and shrinks scripts: values of plain data that say what happens in a
// simulated run. A type of scripts is a struct of numbers, strings, slices and such structs. Who
// runs it takes every value of it as valid, so that any part of a script can be left out.
package script

import (
	"encoding/binary"
	"math"
	"math/bits"
	"math/rand/v2"
	"time"
)

// A Draw is where the random parts of a script come from. It must not be copied.
type Draw struct {
	next func() uint64
}

// FromSeed returns a Draw that gives the same values for the same seed.
func FromSeed(seed uint64) *Draw {
	return &Draw{rand.NewPCG(seed, 0x5c121).Uint64}
}

// FromBytes returns a Draw whose values are in b, two bytes each. Behind its end it gives the first
// of all choices and the least of all values, so short inputs make small scripts. A fuzzer that
// changes a byte changes one value.
func FromBytes(b []byte) *Draw {
	return &Draw{func() uint64 {
		if len(b) < 2 {
			b = nil
			return 0
		}
		v := uint64(binary.BigEndian.Uint16(b))
		b = b[2:]
		return v * 0x1000100010001
	}}
}

// Bytes returns n bytes for FromBytes, which are drawn.
func Bytes(seed uint64, n int) []byte {
	b := make([]byte, n)
	d := FromSeed(seed)
	for i := range b {
		b[i] = byte(d.N(256))
	}
	return b
}

// N returns a number from 0 up to n-1.
func (d *Draw) N(n int) int {
	hi, _ := bits.Mul64(d.next(), uint64(max(n, 1)))
	return int(hi)
}

// One reports true in one case of n.
func (d *Draw) One(n int) bool { return d.N(n) == n-1 }

// Float returns a number from 0 up to 1, which it never reaches.
func (d *Draw) Float() float64 { return float64(d.next()>>11) / (1 << 53) }

// Between returns a number from lo to hi. Each order of magnitude is equally likely.
func (d *Draw) Between(lo, hi float64) float64 { return lo * math.Pow(hi/lo, d.Float()) }

// Time returns a duration from lo to hi, as Between does.
func (d *Draw) Time(lo, hi time.Duration) time.Duration {
	return time.Duration(d.Between(float64(lo), float64(hi))).Round(time.Microsecond)
}

// Some returns a number up to most in one case of n, and otherwise 0.
func (d *Draw) Some(n int, most float64) float64 {
	p := d.Float() * most
	if !d.One(n) {
		return 0
	}
	return math.Round(p*1000) / 1000
}

// Pick returns one of the choices.
func Pick[T any](d *Draw, choices ...T) T { return choices[d.N(len(choices))] }
