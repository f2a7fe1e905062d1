package loop

import (
	"reflect"
	"testing"
)

// fill sets each number in v to n.
func fill(v reflect.Value, n int) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i), n)
		}
	case reflect.Uint64:
		v.SetUint(uint64(n))
	case reflect.Int, reflect.Int64:
		v.SetInt(int64(n))
	}
}

// TestStatsAddAll fails if Add leaves out a counter.
func TestStatsAddAll(t *testing.T) {
	var a, b, want Stats
	fill(reflect.ValueOf(&a).Elem(), 2)
	fill(reflect.ValueOf(&b).Elem(), 3)
	fill(reflect.ValueOf(&want).Elem(), 5)
	a.Add(&b)
	if a != want {
		t.Errorf("a counter is not added: got %+v", a)
	}
}
