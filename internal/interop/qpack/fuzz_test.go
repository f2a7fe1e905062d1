package qpack

import (
	"io"
	"testing"

	foreign "github.com/quic-go/qpack"

	"github.com/lazoquic/lazo/internal/qpack"
)

// FuzzSection decodes any bytes without a dynamic table, here and with quic-go's package. Both must
// take the same, and find the same fields.
func FuzzSection(f *testing.F) {
	e := qpack.NewEncoder(0)
	e.Begin(0)
	for _, field := range fields {
		e.Field(field)
	}
	f.Add(e.End(nil)[2:])
	f.Add([]byte("\x51\x0b/index.html"))
	f.Add([]byte("\x51\x81\x63"))                     // Huffman
	f.Add([]byte("\x27\x00abcdefg\x01x"))             // a literal name
	f.Add([]byte("\xff\x23\xff\x24"))                 // the last of the static table, and behind it
	f.Add([]byte("\x02\x00\x80"))                     // the dynamic table
	f.Add([]byte("\x51\xff\xff\xff\xff\xff\xff\xff")) // an endless length
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > qpack.MaxFields {
			return // a byte may be a field
		}
		b = append([]byte{0, 0}, b...) // quic-go's package takes no other prefix
		ours, err := qpack.NewDecoder(0, 0, -1).Decode(0, b)
		theirs, theirErr := decodeForeign(b)
		if (err != nil) != (theirErr != nil) {
			t.Fatalf("%x: here %v, there %v", b, err, theirErr)
		}
		if err != nil {
			return
		}
		if len(ours) != len(theirs) {
			t.Fatalf("%x: here %v, there %v", b, ours, theirs)
		}
		for i, f := range ours {
			if f.Name != theirs[i].Name || f.Value != theirs[i].Value {
				t.Fatalf("%x: field %d: here %v, there %v", b, i, f, theirs[i])
			}
		}
	})
}

// decodeForeign decodes a section with quic-go's package.
func decodeForeign(b []byte) (fields []foreign.HeaderField, err error) {
	next := foreign.NewDecoder().Decode(b)
	for {
		f, err := next()
		if err == io.EOF {
			return fields, nil
		}
		if err != nil {
			return nil, err
		}
		fields = append(fields, f)
	}
}
