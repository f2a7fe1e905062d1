package h3http

import (
	"reflect"
	"testing"
)

// fillNumbers sets each number in v to n.
func fillNumbers(v reflect.Value, n int) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			fillNumbers(v.Field(i), n)
		}
	case reflect.Array:
		for i := range v.Len() {
			fillNumbers(v.Index(i), n)
		}
	case reflect.Uint64:
		v.SetUint(uint64(n))
	case reflect.Int:
		v.SetInt(int64(n))
	}
}

// TestStatsAddAll fails if Add leaves out a counter.
func TestStatsAddAll(t *testing.T) {
	var a, b, want Stats
	fillNumbers(reflect.ValueOf(&a).Elem(), 2)
	fillNumbers(reflect.ValueOf(&b).Elem(), 3)
	fillNumbers(reflect.ValueOf(&want).Elem(), 5)
	a.Add(&b)
	if a != want {
		t.Errorf("a counter is not added: got %+v", a)
	}
}
