//go:build lsqpack

package qpack

import (
	"bufio"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/lazoquic/lazo/internal/require"
)

// A lsqpack is the codec of another implementation, in Python with the module
// pylsqpack. The variable LSQPACK_PYTHON names the interpreter, python3 by default.
type lsqpack struct {
	t   testing.TB
	in  io.Writer
	out *bufio.Scanner
}

func startLSQPack(t testing.TB) *lsqpack {
	python := os.Getenv("LSQPACK_PYTHON")
	if python == "" {
		python = "python3"
	}
	cmd := exec.Command(python, "testdata/lsqpack.py")
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		in.Close()
		cmd.Wait()
	})
	scanner := bufio.NewScanner(out)
	scanner.Buffer(nil, 1<<20)
	return &lsqpack{t, in, scanner}
}

// ask sends a line and returns the words of the answer.
func (l *lsqpack) ask(format string, args ...any) []string {
	_, err := fmt.Fprintf(l.in, format+"\n", args...)
	require.NoError(l.t, err)
	require.True(l.t, l.out.Scan(), "no answer to %s", fmt.Sprintf(format, args...))
	return strings.Split(l.out.Text(), " ")
}

func (l *lsqpack) bytes(s string) []byte {
	b, err := hex.DecodeString(s)
	require.NoError(l.t, err)
	return b
}

func fieldsText(fields []Field) string {
	var words []string
	for _, f := range fields {
		words = append(words, fmt.Sprintf("%x:%x", f.Name, f.Value))
	}
	return strings.Join(words, ",")
}

// someFields returns fields of which many come again.
func someFields(rnd *rand.Rand) []Field {
	fields := append(randomFields(rnd), Field{Name: "x-last"}) // it takes no empty section
	for i := range fields {
		fields[i].Sensitive = false // it has no such flag
		if rnd.IntN(2) == 0 {
			fields[i].Name = []string{"user-agent", "accept", "x-custom", "cookie"}[rnd.IntN(4)]
			fields[i].Value = strings.Repeat("value", rnd.IntN(8))
		}
	}
	return fields
}

var tables = []struct{ capacity, blocked uint64 }{{0, 0}, {4096, 0}, {4096, 16}, {256, 16}, {1000, 1}}

// TestOursToLSQPack: lsqpack decodes what this package has encoded. The instructions come late.
func TestOursToLSQPack(t *testing.T) {
	l := startLSQPack(t)
	for seed, c := range tables {
		rnd := rand.New(rand.NewPCG(uint64(seed), 4))
		e := NewEncoder(4096)
		l.ask("new %d %d", c.capacity, c.blocked)
		e.SetLimits(c.capacity, c.blocked)
		var late []byte
		waiting, blocked := map[uint64][]Field{}, 0
		done := func(stream uint64, answer []string, want []Field) {
			require.Equal(t, fieldsText(want), answer[1], "seed %d", seed)
			require.NoError(t, e.DecoderStream(l.bytes(answer[0])))
		}
		for i := range uint64(1000) {
			fields := someFields(rnd)
			section := encode(e, i*4, fields...)
			late = append(late, e.Instructions()...)
			answer := l.ask("decode %d %x", i*4, section)
			if answer[0] == "blocked" {
				blocked++
				waiting[i*4] = fields
			} else {
				done(i*4, answer, fields)
			}
			n := rnd.IntN(len(late) + 1)
			if i == 999 {
				n = len(late)
			}
			for _, s := range l.ask("encoderstream %x", late[:n]) {
				var stream uint64
				if _, err := fmt.Sscan(s, &stream); err != nil {
					continue
				}
				done(stream, l.ask("resume %d", stream), waiting[stream])
				delete(waiting, stream)
			}
			late = late[n:]
		}
		require.Empty(t, waiting)
		require.Equal(t, c.blocked > 0, blocked > 0)
		require.Equal(t, c.capacity > 0, e.table.inserted > 0)
	}
}

// TestLSQPackToOurs: this package decodes what lsqpack has encoded. The instructions come late.
func TestLSQPackToOurs(t *testing.T) {
	l := startLSQPack(t)
	for seed, c := range tables {
		rnd := rand.New(rand.NewPCG(uint64(seed), 5))
		d := NewDecoder(c.capacity, int(c.blocked), -1)
		late := l.bytes(l.ask("new %d %d", c.capacity, c.blocked)[0])
		var waiting []pendingSection
		blocked := 0
		for i := range uint64(1000) {
			fields := someFields(rnd)
			answer := l.ask("encode %d %s", i*4, fieldsText(fields))
			late = append(late, l.bytes(answer[0])...)
			waiting = append(waiting, pendingSection{i * 4, l.bytes(answer[1]), fields})
			n := rnd.IntN(len(late) + 1)
			if i == 999 {
				n = len(late)
			}
			require.NoError(t, d.EncoderStream(late[:n]))
			late = late[n:]
			for _, ok := d.Unblocked(); ok; _, ok = d.Unblocked() {
			}
			waiting = slices.DeleteFunc(waiting, func(s pendingSection) bool {
				got, err := d.Decode(s.stream, s.b)
				if errors.Is(err, ErrBlocked) {
					blocked++
					return false
				}
				require.NoError(t, err, "seed %d", seed)
				require.Equal(t, fieldsText(s.want), fieldsText(got))
				return true
			})
			if b := d.Instructions(); len(b) > 0 {
				l.ask("decoderstream %x", b)
			}
		}
		require.Empty(t, waiting)
		t.Logf("capacity %d, %d may block: %d insertions, blocked %d times", c.capacity, c.blocked, d.table.inserted, blocked)
		if c.capacity == 4096 {
			require.Positive(t, d.table.inserted)
			require.Equal(t, c.blocked > 0, blocked > 0)
		}
	}
}
