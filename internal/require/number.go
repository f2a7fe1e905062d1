package require

import (
	"cmp"
	"math"
	"reflect"
	"testing"
)

// Less fails unless a < b.
func Less[T cmp.Ordered](t testing.TB, a, b T, message ...any) {
	t.Helper()
	if !(a < b) {
		fail(t, message, "%v is not less than %v", a, b)
	}
}

// LessOrEqual fails unless a <= b.
func LessOrEqual[T cmp.Ordered](t testing.TB, a, b T, message ...any) {
	t.Helper()
	if !(a <= b) {
		fail(t, message, "%v is greater than %v", a, b)
	}
}

// Greater fails unless a > b.
func Greater[T cmp.Ordered](t testing.TB, a, b T, message ...any) {
	t.Helper()
	if !(a > b) {
		fail(t, message, "%v is not greater than %v", a, b)
	}
}

// GreaterOrEqual fails unless a >= b.
func GreaterOrEqual[T cmp.Ordered](t testing.TB, a, b T, message ...any) {
	t.Helper()
	if !(a >= b) {
		fail(t, message, "%v is less than %v", a, b)
	}
}

// Positive fails unless a number is greater than 0.
func Positive[T cmp.Ordered](t testing.TB, got T, message ...any) {
	t.Helper()
	if got <= *new(T) {
		fail(t, message, "%v is not positive", got)
	}
}

// Negative fails unless a number is less than 0.
func Negative[T cmp.Ordered](t testing.TB, got T, message ...any) {
	t.Helper()
	if got >= *new(T) {
		fail(t, message, "%v is not negative", got)
	}
}

// InDelta fails unless two numbers, of any types, are at most delta apart.
func InDelta(t testing.TB, want, got any, delta float64, message ...any) {
	t.Helper()
	if d := math.Abs(float(want) - float(got)); !(d <= delta) {
		fail(t, message, "got %v, want %v: they are %v apart, more than %v", got, want, d, delta)
	}
}

// InEpsilon fails unless a number is within a share of the one that is wanted: 0.1 is 10 %.
func InEpsilon(t testing.TB, want, got any, epsilon float64, message ...any) {
	t.Helper()
	if e := math.Abs(float(want)-float(got)) / math.Abs(float(want)); !(e <= epsilon) {
		fail(t, message, "got %v, want %v: they differ by a share of %v, more than %v", got, want, e, epsilon)
	}
}

func float(v any) float64 {
	return reflect.ValueOf(v).Convert(reflect.TypeFor[float64]()).Float()
}
