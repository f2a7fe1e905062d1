package usage

import (
	"errors"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lazoquic/lazo/internal/require"
)

func TestTell(t *testing.T) {
	for _, c := range []struct {
		err    error
		status int
		text   string
	}{
		{nil, 0, ""},
		{flag.ErrHelp, 0, ""},
		{Errorf("-n %d: no", 1), 2, "name: -n 1: no (name -h tells more)\n"},
		{errors.Join(Errorf("a")), 2, "name: a (name -h tells more)\n"},
		{fs.ErrExist, 1, "name: file already exists\n"},
		{errors.Join(fs.ErrExist, fs.ErrClosed), 1, "name: file already exists\nname: file already closed\n"},
	} {
		var b strings.Builder
		require.Equal(t, c.status, tell(&b, "name", c.err))
		require.Equal(t, c.text, b.String())
	}
}

func TestParse(t *testing.T) {
	var set flag.FlagSet
	set.Int("n", 3, "how `many`")
	var b strings.Builder
	require.NoError(t, Parse(&set, []string{"-n", "4", "x"}, &b, "text"))
	require.EqualError(t, NoArguments(&set), `unexpected argument "x"`)
	var wrong *Error
	require.ErrorAs(t, Parse(&set, []string{"-m"}, &b, "text"), &wrong)
	require.Empty(t, b.String())
	require.ErrorIs(t, Parse(&set, []string{"-h"}, &b, "text"), flag.ErrHelp)
	require.Equal(t, "text\n  -n many\n    \thow many (default 3)\n", b.String())
}

func TestChecks(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	for _, err := range []error{
		AtLeast("n", 1, 1), Positive("n", 0.1), Some("n", "x"), OneOf("n", "b", "a", "b"),
		SomeOf("n", "", "a"), SomeOf("n", "b,a", "a", "b"), Address("n", ":0"), Address("n", "[::1]:443"), Address("n", "a:https"),
		Directory("n", ""), Directory("n", dir), NewDirectory("n", dir+"/a/b"), NewDirectory("n", "a/b"), NewDirectory("n", ""),
		File("n", file), File("n", ""), NewFile("n", file), NewFile("n", dir+"/a"), NewFile("n", "a"), NewFile("n", ""),
		Together("n", "", "m", ""), Together("n", "a", "m", "b"),
	} {
		require.NoError(t, err)
	}
	for want, err := range map[string]error{
		"-a 0: must be at least 1":         AtLeast("a", 0, 1),
		"-b 0: must be greater than 0":     Positive("b", 0),
		"-c: must not be empty":            Some("c", ""),
		`-d "x": must be one of a, b`:      OneOf("d", "x", "a", "b"),
		`-e "x": must be one of a, b`:      SomeOf("e", "a,x", "a", "b"),
		`-f "a": want HOST:PORT`:           Address("f", "a"),
		`-g "a:": want HOST:PORT`:          Address("g", "a:"),
		`-h "a:65536": want HOST:PORT`:     Address("h", "a:65536"),
		`-i: stat /nonexistent`:            Directory("i", "/nonexistent"),
		`-j ` + file + `: is no directory`: Directory("j", file),
		`-k: stat ` + file + `/a`:          NewDirectory("k", file+"/a"),
		`-l: open ` + dir + `/a`:           File("l", dir+"/a"),
		`-m ` + dir + `: is a directory`:   NewFile("m", dir),
		`-n: stat ` + dir + `/a`:           NewFile("n", dir+"/a/b"),
		`-o and -p go together`:            Together("o", "a", "p", ""),
		`-q NaN: must be greater than 0`:   Positive("q", nan()),
		`-r NaN: must be at least 0`:       AtLeast("r", nan(), 0),
	} {
		var wrong *Error
		require.ErrorAs(t, err, &wrong)
		require.True(t, strings.HasPrefix(err.Error(), want), "%q is not %q", err, want)
	}
}

func nan() float64 {
	zero := 0.0
	return zero / zero
}
