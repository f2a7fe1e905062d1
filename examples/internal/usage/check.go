package usage

import (
	"cmp"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Each check looks at the value of one flag, and returns nil or an *Error.

// AtLeast wants a number, or a time, that is not less than low.
func AtLeast[T cmp.Ordered](name string, value, low T) error {
	if !(value >= low) {
		return Errorf("-%s %v: must be at least %v", name, value, low)
	}
	return nil
}

// Positive wants a number that is greater than 0.
func Positive[T cmp.Ordered](name string, value T) error {
	if zero := *new(T); !(value > zero) {
		return Errorf("-%s %v: must be greater than %v", name, value, zero)
	}
	return nil
}

// Some wants text that is not empty.
func Some(name, value string) error {
	if value == "" {
		return Errorf("-%s: must not be empty", name)
	}
	return nil
}

// OneOf wants one of the words.
func OneOf(name, value string, words ...string) error {
	if !slices.Contains(words, value) {
		return Errorf("-%s %q: must be one of %s", name, value, strings.Join(words, ", "))
	}
	return nil
}

// SomeOf wants words separated by commas, or nothing.
func SomeOf(name, value string, words ...string) error {
	if value == "" {
		return nil
	}
	for word := range strings.SplitSeq(value, ",") {
		if err := OneOf(name, word, words...); err != nil {
			return err
		}
	}
	return nil
}

// Address wants HOST:PORT, of which HOST may be empty.
func Address(name, value string) error {
	_, port, err := net.SplitHostPort(value)
	if err == nil {
		_, err = net.LookupPort("udp", port)
	}
	if err != nil || port == "" {
		return Errorf("-%s %q: want HOST:PORT", name, value)
	}
	return nil
}

// Directory wants a directory, or nothing.
func Directory(name, value string) error {
	if value == "" {
		return nil
	}
	if info, err := os.Stat(value); err != nil {
		return Errorf("-%s: %v", name, err)
	} else if !info.IsDir() {
		return Errorf("-%s %s: is no directory", name, value)
	}
	return nil
}

// NewDirectory wants a directory, or the name of one that can be made, or nothing.
func NewDirectory(name, value string) error {
	for dir := value; dir != ""; dir = filepath.Dir(dir) {
		if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
			return Directory(name, dir)
		}
	}
	return nil
}

// File wants a file that can be read, or nothing.
func File(name, value string) error {
	if value == "" {
		return nil
	}
	f, err := os.Open(value)
	if err != nil {
		return Errorf("-%s: %v", name, err)
	}
	return f.Close()
}

// NewFile wants the name of a file that can be made or replaced, in a directory that exists. It may
// be empty.
func NewFile(name, value string) error {
	if value == "" {
		return nil
	}
	if info, err := os.Stat(value); err == nil && info.IsDir() {
		return Errorf("-%s %s: is a directory", name, value)
	}
	return Directory(name, filepath.Dir(value))
}

// Together wants both flags or none.
func Together(name, value, other, otherValue string) error {
	if (value == "") != (otherValue == "") {
		return Errorf("-%s and -%s go together", name, other)
	}
	return nil
}
