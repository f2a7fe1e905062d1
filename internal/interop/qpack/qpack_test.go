// Package qpack holds tests alone: internal/qpack and the package of quic-go each decode what the
// other encodes.
package qpack

import (
	"bytes"
	"io"
	"testing"

	foreign "github.com/quic-go/qpack"

	"github.com/lazoquic/lazo/internal/qpack"
	"github.com/lazoquic/lazo/internal/require"
)

var fields = []qpack.Field{
	{Name: ":method", Value: "GET"},
	{Name: ":scheme", Value: "https"},
	{Name: ":authority", Value: "lazo.test:4433"},
	{Name: ":path", Value: "/index.html?q=1"},
	{Name: "user-agent", Value: "Mozilla/5.0 (X11; Linux x86_64)"},
	{Name: "accept", Value: "*/*"},
	{Name: "authorization", Value: "Basic c2VjcmV0", Sensitive: true},
	{Name: "x-empty"},
	{Name: "x-binary", Value: "\x80\xff\x01"},
}

func TestEncoder(t *testing.T) {
	e := qpack.NewEncoder(0)
	e.Begin(0)
	for _, f := range fields {
		e.Field(f)
	}
	next := foreign.NewDecoder().Decode(e.End(nil))
	for _, want := range fields {
		f, err := next()
		require.NoError(t, err)
		require.Equal(t, want.Name, f.Name)
		require.Equal(t, want.Value, f.Value)
	}
	_, err := next()
	require.ErrorIs(t, err, io.EOF)
}

func TestDecoder(t *testing.T) {
	var b bytes.Buffer
	e := foreign.NewEncoder(&b)
	for _, f := range fields {
		require.NoError(t, e.WriteField(foreign.HeaderField{Name: f.Name, Value: f.Value}))
	}
	got, err := qpack.NewDecoder(0, 0, -1).Decode(0, b.Bytes())
	require.NoError(t, err)
	require.Len(t, got, len(fields))
	for i, f := range fields {
		require.Equal(t, f.Name, got[i].Name)
		require.Equal(t, f.Value, got[i].Value)
	}
}

// TestStaticTable compares the 99 entries of both static tables (RFC 9204, Appendix A).
func TestStaticTable(t *testing.T) {
	for i := range byte(99) {
		section := []byte{0, 0, 0xc0 | i} // one indexed field line, RFC 9204, Section 4.5.2
		if i >= 63 {
			section = []byte{0, 0, 0xff, i - 63}
		}
		want, err := foreign.NewDecoder().Decode(section)()
		require.NoError(t, err)
		got, err := qpack.NewDecoder(0, 0, -1).Decode(0, section)
		require.NoError(t, err)
		require.Equal(t, []qpack.Field{{Name: want.Name, Value: want.Value}}, got, "entry %d", i)
	}
	_, err := qpack.NewDecoder(0, 0, -1).Decode(0, []byte{0, 0, 0xff, 99 - 63})
	require.Error(t, err)
}
