// Package require has the checks of all tests. Each is one line, and ends the test if it fails.
// With this package the module needs no other module for its tests: a requirement in go.mod counts
// in the programs of everyone who imports Lazo.
//
// Each check takes an optional message at its end, as fmt.Sprintf does.
package require

import (
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"
)

// fail ends the test. It prints what is wrong, and then the message of the check's caller.
func fail(t testing.TB, message []any, format string, args ...any) {
	t.Helper()
	wrong := fmt.Sprintf(format, args...)
	switch {
	case len(message) == 1:
		wrong += fmt.Sprintf("\n(%v)", message[0])
	case len(message) > 1:
		wrong += fmt.Sprintf("\n("+message[0].(string)+")", message[1:]...)
	}
	t.Fatal(wrong)
}

// True fails unless the condition holds.
func True(t testing.TB, ok bool, message ...any) {
	t.Helper()
	if !ok {
		fail(t, message, "got false, want true")
	}
}

// False fails if the condition holds.
func False(t testing.TB, ok bool, message ...any) {
	t.Helper()
	if ok {
		fail(t, message, "got true, want false")
	}
}

// Equal fails unless both are of one type and deeply equal, as reflect.DeepEqual says.
func Equal(t testing.TB, want, got any, message ...any) {
	t.Helper()
	if !reflect.DeepEqual(want, got) {
		fail(t, message, "got and want differ:\n%s", compared(want, got))
	}
}

// NotEqual fails if Equal does not.
func NotEqual(t testing.TB, unwanted, got any, message ...any) {
	t.Helper()
	if reflect.DeepEqual(unwanted, got) {
		fail(t, message, "got what must not be: %s", shown(got))
	}
}

// EqualValues is like Equal, but the types may differ where each value becomes the other when
// it is converted: 5 and uint64(5), "a" and a string type's "a".
func EqualValues(t testing.TB, want, got any, message ...any) {
	t.Helper()
	if !reflect.DeepEqual(want, got) && !(converts(want, got) && converts(got, want)) {
		fail(t, message, "got and want differ:\n%s", compared(want, got))
	}
}

// converts reports whether a becomes b when it is converted to b's type.
func converts(a, b any) bool {
	v, w := reflect.ValueOf(a), reflect.ValueOf(b)
	return v.IsValid() && w.IsValid() && v.CanConvert(w.Type()) && reflect.DeepEqual(v.Convert(w.Type()).Interface(), b)
}

// Same fails unless both are the same pointer.
func Same(t testing.TB, want, got any, message ...any) {
	t.Helper()
	if want != got {
		fail(t, message, "got %T %p, want %T %p", got, got, want, want)
	}
}

// Zero fails unless the value is the zero value of its type.
func Zero(t testing.TB, got any, message ...any) {
	t.Helper()
	if got != nil && !reflect.ValueOf(got).IsZero() {
		fail(t, message, "got %s, want the zero %T", shown(got), got)
	}
}

// NotZero fails if Zero does not.
func NotZero(t testing.TB, got any, message ...any) {
	t.Helper()
	if got == nil || reflect.ValueOf(got).IsZero() {
		fail(t, message, "got the zero %T", got)
	}
}

// Nil fails unless the value is nil: an interface without a value, or with a nil in it.
func Nil(t testing.TB, got any, message ...any) {
	t.Helper()
	if !isNil(got) {
		fail(t, message, "got %s, want nil", shown(got))
	}
}

// NotNil fails if Nil does not.
func NotNil(t testing.TB, got any, message ...any) {
	t.Helper()
	if isNil(got) {
		fail(t, message, "got nil")
	}
}

func isNil(v any) bool {
	switch r := reflect.ValueOf(v); r.Kind() {
	case reflect.Invalid:
		return true
	case reflect.Chan, reflect.Func, reflect.Interface, reflect.Map, reflect.Pointer, reflect.Slice, reflect.UnsafePointer:
		return r.IsNil()
	}
	return false
}

// Len fails unless a string, slice, array, map or channel has the length.
func Len(t testing.TB, got any, want int, message ...any) {
	t.Helper()
	if n := reflect.ValueOf(got).Len(); n != want {
		fail(t, message, "got the length %d, want %d: %s", n, want, shown(got))
	}
}

// Empty fails unless the length is 0.
func Empty(t testing.TB, got any, message ...any) {
	t.Helper()
	if length(got) != 0 {
		fail(t, message, "got %s, want nothing", shown(got))
	}
}

// NotEmpty fails if the length is 0.
func NotEmpty(t testing.TB, got any, message ...any) {
	t.Helper()
	if length(got) == 0 {
		fail(t, message, "got an empty %T", got)
	}
}

// length is 0 for nil too, so that Empty takes a nil any.
func length(v any) int {
	if v == nil {
		return 0
	}
	return reflect.ValueOf(v).Len()
}

// Contains fails unless the string has the substring, the map the key, or the slice the element.
func Contains(t testing.TB, got, part any, message ...any) {
	t.Helper()
	if !contains(got, part) {
		fail(t, message, "%s is not in\n%s", shown(part), shown(got))
	}
}

// NotContains fails if Contains does not.
func NotContains(t testing.TB, got, part any, message ...any) {
	t.Helper()
	if contains(got, part) {
		fail(t, message, "%s is in\n%s", shown(part), shown(got))
	}
}

func contains(v, part any) bool {
	switch r := reflect.ValueOf(v); r.Kind() {
	case reflect.String:
		return strings.Contains(r.String(), reflect.ValueOf(part).String())
	case reflect.Map:
		return r.MapIndex(reflect.ValueOf(part)).IsValid()
	default:
		for i := range r.Len() {
			if reflect.DeepEqual(r.Index(i).Interface(), part) {
				return true
			}
		}
		return false
	}
}

// Regexp fails unless the expression matches somewhere in the string.
func Regexp(t testing.TB, expr, got string, message ...any) {
	t.Helper()
	if !regexp.MustCompile(expr).MatchString(got) {
		fail(t, message, "%q does not match\n%s", expr, got)
	}
}

// NoError fails unless err is nil.
func NoError(t testing.TB, err error, message ...any) {
	t.Helper()
	if err != nil {
		fail(t, message, "got the error: %v", err)
	}
}

// Error fails if err is nil.
func Error(t testing.TB, err error, message ...any) {
	t.Helper()
	if err == nil {
		fail(t, message, "got no error")
	}
}

// ErrorIs fails unless errors.Is(err, target).
func ErrorIs(t testing.TB, err, target error, message ...any) {
	t.Helper()
	if !errors.Is(err, target) {
		fail(t, message, "got the error: %v\nwant one that is: %v", err, target)
	}
}

// NotErrorIs fails if errors.Is(err, target).
func NotErrorIs(t testing.TB, err, target error, message ...any) {
	t.Helper()
	if errors.Is(err, target) {
		fail(t, message, "got the error: %v\nwhich must not be: %v", err, target)
	}
}

// ErrorAs fails unless errors.As(err, target), which sets what target points to.
func ErrorAs(t testing.TB, err error, target any, message ...any) {
	t.Helper()
	if !errors.As(err, target) {
		fail(t, message, "got the error: %v\nwant one for a %T", err, target)
	}
}

// ErrorContains fails unless there is an error whose text has the part.
func ErrorContains(t testing.TB, err error, part string, message ...any) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), part) {
		fail(t, message, "got the error: %v\nwant one that says: %s", err, part)
	}
}

// EqualError fails unless there is an error of exactly this text.
func EqualError(t testing.TB, err error, want string, message ...any) {
	t.Helper()
	if err == nil || err.Error() != want {
		fail(t, message, "got the error: %v\nwant: %s", err, want)
	}
}

// Panics fails unless f panics.
func Panics(t testing.TB, f func(), message ...any) {
	t.Helper()
	if !panics(f) {
		fail(t, message, "it does not panic")
	}
}

func panics(f func()) (yes bool) {
	defer func() { yes = recover() != nil }()
	f()
	return false
}

// Eventually waits until the condition holds, which it asks on the test's goroutine, with pauses.
// It fails when that takes longer than the limit.
func Eventually(t testing.TB, ok func() bool, limit, pause time.Duration, message ...any) {
	t.Helper()
	for end := time.Now().Add(limit); !ok(); time.Sleep(pause) {
		if time.Now().After(end) {
			fail(t, message, "the condition does not hold after %v", limit)
		}
	}
}

// compared shows two values that differ. It adds their types if their texts are the same.
func compared(want, got any) string {
	w, g := shown(want), shown(got)
	if w == g {
		w, g = fmt.Sprintf("%s (%T)", w, want), fmt.Sprintf("%s (%T)", g, got)
	}
	return "got:  " + g + "\nwant: " + w
}

// shown is a value as a person reads it.
func shown(v any) string {
	switch v := v.(type) {
	case string:
		return fmt.Sprintf("%q", v)
	case []byte:
		return fmt.Sprintf("%d bytes %x", len(v), v)
	case error, fmt.Stringer:
		return fmt.Sprintf("%v", v)
	}
	return fmt.Sprintf("%+v", v)
}
