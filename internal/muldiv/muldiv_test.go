package muldiv

import (
	"math"
	"testing"
)

func TestMulDiv(t *testing.T) {
	for _, tc := range []struct{ a, b, c, down, up uint64 }{
		{2, 9, 3, 6, 6},
		{2, 10, 3, 6, 7},
		{3, 5, 7, 2, 3},
		{0, 5, 7, 0, 0},
		{1 << 62, 1 << 62, 1 << 62, 1 << 62, 1 << 62}, // a product of more than 64 bits
		{1<<62 + 1, 1 << 62, 1<<62 + 2, 1<<62 - 1, 1 << 62},
		{1 << 60, 1 << 60, 1, math.MaxUint64, math.MaxUint64},
		{math.MaxUint64, math.MaxUint64, math.MaxUint64, math.MaxUint64, math.MaxUint64},
		{1, 1, 0, math.MaxUint64, math.MaxUint64},
		{0, 1, 0, math.MaxUint64, math.MaxUint64},
	} {
		if down, up := Down(tc.a, tc.b, tc.c), Up(tc.a, tc.b, tc.c); down != tc.down || up != tc.up {
			t.Errorf("%d * %d / %d: down %d, up %d; want %d, %d", tc.a, tc.b, tc.c, down, up, tc.down, tc.up)
		}
	}
}
