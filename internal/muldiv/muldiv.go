// Package muldiv multiplies two numbers and divides the product, which may be longer than 64 bits.
// Rates and times of paths need that.
package muldiv

import (
	"math"
	"math/bits"
)

// Down returns a*b/c, rounded down, and [math.MaxUint64] where that is more than 64 bits or c is 0.
func Down(a, b, c uint64) uint64 {
	hi, lo := bits.Mul64(a, b)
	return div(hi, lo, c)
}

// Up is Down, but rounds up.
func Up(a, b, c uint64) uint64 {
	hi, lo := bits.Mul64(a, b)
	if c > 0 {
		var carry uint64
		lo, carry = bits.Add64(lo, c-1, 0)
		hi += carry
	}
	return div(hi, lo, c)
}

func div(hi, lo, c uint64) uint64 {
	if hi >= c {
		return math.MaxUint64
	}
	q, _ := bits.Div64(hi, lo, c)
	return q
}
