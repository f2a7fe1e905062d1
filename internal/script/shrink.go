package script

import (
	"reflect"
	"time"
)

// Shrink looks for a smaller script that fails, too. It leaves out elements of slices, in large
// pieces first, and then clears values and brings them closer to zero, over and over until nothing
// helps or fails was called runs times. It returns the smallest script that it found, and the
// number of calls. Each script that fails is given is its own.
func Shrink[T any](v T, runs int, fails func(T) bool) (smallest T, calls int) {
	s := shrinker{left: runs}
	v = clone(reflect.ValueOf(v)).Interface().(T)
	root := reflect.ValueOf(&v).Elem()
	s.fails = func() bool { return fails(clone(root).Interface().(T)) }
	for _, values := range []bool{false, true} {
		for s.better = true; s.better && s.left > 0; {
			s.better, s.values = false, values
			s.shrink(root)
		}
	}
	return v, runs - s.left
}

type shrinker struct {
	fails  func() bool
	left   int  // calls of fails
	values bool // not only elements of slices
	better bool // something was found since the last round
}

// try sets v to x, if the script then still fails.
func (s *shrinker) try(v, x reflect.Value) bool {
	if s.left <= 0 {
		return false
	}
	s.left--
	old := reflect.New(v.Type()).Elem()
	old.Set(v)
	v.Set(x)
	if s.fails() {
		s.better = true
		return true
	}
	v.Set(old)
	return false
}

// shrink makes v smaller, and what is in it.
func (s *shrinker) shrink(v reflect.Value) {
	if !v.CanSet() || v.IsZero() || !plain(v.Kind()) {
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		if s.try(v, reflect.Zero(v.Type())) {
			return
		}
		for i := range v.NumField() {
			s.shrink(v.Field(i))
		}
	case reflect.Slice:
		s.slice(v)
		for i := range v.Len() {
			s.shrink(v.Index(i))
		}
	case reflect.Array:
		for i := range v.Len() {
			s.shrink(v.Index(i))
		}
	default:
		if s.values && !s.try(v, reflect.Zero(v.Type())) {
			s.number(v)
		}
	}
}

// slice leaves out elements: all, a half, a quarter, and so on down to single ones.
func (s *shrinker) slice(v reflect.Value) {
	if s.try(v, reflect.Zero(v.Type())) {
		return
	}
	for size := (v.Len() + 1) / 2; size > 0; size /= 2 {
		for from := 0; from < v.Len(); {
			to := min(from+size, v.Len())
			rest := reflect.MakeSlice(v.Type(), 0, v.Len())
			rest = reflect.AppendSlice(rest, v.Slice(0, from))
			rest = reflect.AppendSlice(rest, v.Slice(to, v.Len()))
			if to-from == v.Len() || !s.try(v, rest) {
				from += size
			}
		}
	}
}

// number brings a number closer to zero, which would not do: to the smallest one that fails, as far
// as a search by halves finds it. Durations become round ones.
func (s *shrinker) number(v reflect.Value) {
	switch v.Kind() {
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		unit := int64(1)
		if d, ok := v.Interface().(time.Duration); ok {
			unit = int64(s.unit(v, d))
		}
		s.search(v, v.Int()/unit, func(n int64) reflect.Value { return reflect.ValueOf(n * unit).Convert(v.Type()) })
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		if n := v.Uint(); n < 1<<62 {
			s.search(v, int64(n), func(n int64) reflect.Value { return reflect.ValueOf(n).Convert(v.Type()) })
		}
	case reflect.Float32, reflect.Float64:
		const parts = 1000
		s.search(v, int64(v.Float()*parts), func(n int64) reflect.Value {
			return reflect.ValueOf(float64(n) / parts).Convert(v.Type())
		})
	}
}

// search looks for the number closest to zero that will do, between zero, which does not, and bad,
// which does.
func (s *shrinker) search(v reflect.Value, bad int64, value func(int64) reflect.Value) {
	good := int64(0)
	for steps := 0; steps < 12 && (bad-good > 1 || good-bad > 1); steps++ {
		middle := good + (bad-good)/2
		if s.try(v, value(middle)) {
			bad = middle
		} else {
			good = middle
		}
	}
}

// unit makes d, which v holds, a whole number of seconds, milliseconds or microseconds, whatever
// will do, and returns which.
func (s *shrinker) unit(v reflect.Value, d time.Duration) time.Duration {
	for _, unit := range []time.Duration{time.Second, time.Millisecond, time.Microsecond} {
		up := (d + unit - 1) / unit * unit
		if up == d || d > 0 && s.try(v, reflect.ValueOf(up)) {
			return unit
		}
	}
	return 1
}

// clone returns a copy of v that shares no memory with it.
func clone(v reflect.Value) reflect.Value {
	c := reflect.New(v.Type()).Elem()
	c.Set(v)
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			if c.Field(i).CanSet() {
				c.Field(i).Set(clone(v.Field(i)))
			}
		}
	case reflect.Slice:
		if v.IsNil() {
			break
		}
		c.Set(reflect.MakeSlice(v.Type(), v.Len(), v.Len()))
		for i := range v.Len() {
			c.Index(i).Set(clone(v.Index(i)))
		}
	}
	return c
}
