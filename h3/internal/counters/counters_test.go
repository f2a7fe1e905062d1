package counters

import (
	"reflect"
	"testing"

	"github.com/lazoquic/lazo/h3"
	"github.com/lazoquic/lazo/internal/require"
)

// TestAddAll fails if Add leaves out a counter.
func TestAddAll(t *testing.T) {
	filled := func(n int64) (st h3.Stats) {
		v := reflect.ValueOf(&st).Elem()
		for i := range v.NumField() {
			if f := v.Field(i); f.CanInt() {
				f.SetInt(n)
			} else {
				f.SetUint(uint64(n))
			}
		}
		return st
	}
	a, b := filled(2), filled(3)
	Add(&a, &b, 1)
	require.Equal(t, filled(5), a)
	Add(&a, &b, -1)
	require.Equal(t, filled(2), a)
}
