package http3_test

import (
	"bytes"
	"io"
	"strings"
	"testing"

	"github.com/quic-go/quic-go/http3"
	"github.com/quic-go/quic-go/quicvarint"
)

// TestCapsules: capsules are read one after another, and a reader ends with its capsule.
func TestCapsules(t *testing.T) {
	var b bytes.Buffer
	for _, content := range []string{"first", "", strings.Repeat("x", 100_000)} {
		if err := http3.WriteCapsule(quicvarint.NewWriter(&b), http3.CapsuleType(len(content)), []byte(content)); err != nil {
			t.Fatal(err)
		}
	}
	whole := b.Bytes()
	p := http3.NewCapsuleParser(bytes.NewReader(whole))
	typ, first, err := p.Next()
	if typ != 5 || err != nil || first.Remaining() != 5 {
		t.Fatalf("the first capsule is %d, %d bytes: %v", typ, first.Remaining(), err)
	}
	if c, err := first.ReadByte(); c != 'f' || err != nil {
		t.Fatalf("the first byte is %q: %v", c, err)
	}
	if _, _, err := p.Next(); err == nil {
		t.Fatal("went on within a capsule")
	}
	if rest, err := io.ReadAll(first); string(rest) != "irst" || err != nil {
		t.Fatalf("read %q, %v", rest, err)
	}
	if typ, r, err := p.Next(); typ != 0 || err != nil || r.Remaining() != 0 {
		t.Fatalf("the second capsule is %d: %v", typ, err)
	}
	_, third, err := p.Next()
	if n, rerr := first.Read(make([]byte, 1)); n != 0 || rerr == nil || rerr == io.EOF || err != nil {
		t.Fatalf("a reader of the past read %d bytes: %v, %v", n, rerr, err)
	}
	if _, rerr := first.ReadByte(); rerr == nil || rerr == io.EOF || first.Discard() == nil || first.Remaining() != 0 {
		t.Fatalf("a reader of the past read a byte: %v", rerr)
	}
	if err := third.Discard(); err != nil || third.Remaining() != 0 {
		t.Fatalf("%d bytes are left: %v", third.Remaining(), err)
	}
	if _, _, err := p.Next(); err != io.EOF {
		t.Fatalf("behind the last capsule: %v", err)
	}
}

// TestCapsulesCutShort: only between capsules the end is io.EOF.
func TestCapsulesCutShort(t *testing.T) {
	whole := []byte{0x40, 0x01, 0x02, 'a', 'b'}
	for n := range whole {
		p := http3.NewCapsuleParser(bytes.NewReader(whole[:n]))
		_, r, err := p.Next()
		if err == nil {
			_, err = io.ReadAll(r)
		}
		want := io.ErrUnexpectedEOF
		if n == 0 {
			want = io.EOF
		}
		if err != want {
			t.Errorf("of %d bytes: %v", n, err)
		}
	}
}
