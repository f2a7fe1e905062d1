package masque

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/varint"
	"github.com/lazoquic/lazo/dgram"
	"github.com/lazoquic/lazo/h3"
	"github.com/lazoquic/lazo/h3/h3http"
	"github.com/lazoquic/lazo/internal/require"
)

// raw opens a tunnel and returns its stream, so that a test can write any bytes to it.
func (p *pair) raw(target string) *h3http.Stream {
	p.t.Helper()
	u, err := p.client.expand(target)
	require.NoError(p.t, err)
	r, err := http.NewRequestWithContext(p.t.Context(), http.MethodConnect, u, nil)
	require.NoError(p.t, err)
	r.Header[":protocol"] = []string{"connect-udp"}
	s, resp, err := p.client.Transport.Connect(r)
	require.NoError(p.t, err)
	require.NotNil(p.t, s)
	require.Equal(p.t, "?1", resp.Header.Get("Capsule-Protocol"))
	p.t.Cleanup(func() { s.Close() })
	s.SetReadDeadline(time.Now().Add(soon))
	return s
}

// payload returns an HTTP Datagram of a context.
func payload(context uint64, b ...byte) []byte {
	return append(dgram.AppendContextID(nil, context), b...)
}

func capsule(typ uint64, value []byte) []byte { return dgram.AppendCapsule(nil, typ, value) }

// TestUnknownIsDropped sends what unknown extensions may send, in pieces.
// RFC 9297, Section 3.2 [3]; RFC 9298, Section 5 [1].
func TestUnknownIsDropped(t *testing.T) {
	p := newPair(t, noDatagrams)
	s := p.raw(newEcho(t))
	sent := slices.Concat(
		capsule(0x17, []byte("a capsule of a reserved type")),
		capsule(0x2843, nil),
		capsule(1<<61, make([]byte, 200_000)),
		capsule(dgram.CapsuleDatagram, payload(2, 1, 2, 3)),
		capsule(dgram.CapsuleDatagram, payload(1<<61, make([]byte, 100_000)...)),
		capsule(dgram.CapsuleDatagram, nil),          // no context ID
		capsule(dgram.CapsuleDatagram, []byte{0x40}), // half of one
		capsule(dgram.CapsuleDatagram, payload(0, 'h', 'i')),
	)
	go func() {
		for b := range slices.Chunk(sent, 7777) {
			s.Write(b)
		}
	}()
	// The answer is a capsule too, because the proxy sends no datagrams.
	want := capsule(dgram.CapsuleDatagram, payload(0, 'h', 'i'))
	got := make([]byte, len(want))
	_, err := io.ReadFull(s, got)
	require.NoError(t, err)
	require.Equal(t, want, got)
	require.EqualValues(t, 7, p.proxy.Stats().Dropped)
	require.EqualValues(t, 1, p.proxy.Stats().Received)
}

// TestMalformedCapsules: a malformed capsule ends its stream, and nothing else.
// RFC 9298, Section 5 [3]; RFC 9297, Section 3.3 [1, 5].
func TestMalformedCapsules(t *testing.T) {
	p := newPair(t)
	target := newEcho(t)
	for name, test := range map[string]struct {
		b    []byte
		code h3.ErrorCode
	}{
		"header cut short":  {[]byte{0x40}, h3.MessageError},
		"length cut short":  {[]byte{0, 0x40}, h3.MessageError},
		"value cut short":   {capsule(dgram.CapsuleDatagram, payload(0, 1, 2))[:3], h3.MessageError},
		"context cut short": {[]byte{0, 10, 0x40}, h3.MessageError}, // RFC 9297, Section 3.3 [1, 5]
		"unknown cut short": {capsule(99, make([]byte, 1000))[:500], h3.MessageError},
		"payload too long":  {dgramHeader(maxPayload + 2), h3.DatagramError},
		"endless payload":   {dgramHeader(1<<62 - 1), h3.DatagramError},
	} {
		t.Run(name, func(t *testing.T) {
			s := p.raw(target)
			_, err := s.Write(test.b)
			require.NoError(t, err)
			if test.code == h3.MessageError {
				require.NoError(t, s.CloseWrite())
			}
			_, err = s.Read(make([]byte, 1))
			var reset *conn.StreamError
			require.ErrorAs(t, err, &reset)
			require.Equal(t, test.code, h3.ErrorCode(reset.Code))
		})
	}
	exchange(t, p.dial(target), []byte("the connection lives"))
	require.EqualValues(t, 1, p.proxy.Stats().Received)
}

// dgramHeader is the start of a DATAGRAM capsule of length bytes, in context 0.
func dgramHeader(length uint64) []byte {
	b := capsule(dgram.CapsuleDatagram, nil)[:1]
	return append(varint.Append(b, length), 0)
}

// TestEndlessUnknownCapsule: the reader skips it as it comes.
// RFC 9297, Section 3.2 [7]; RFC 9297, Section 3.5 [4]; RFC 9298, Section 5 [4].
func TestEndlessUnknownCapsule(t *testing.T) {
	p := newPair(t)
	s := p.raw(newEcho(t))
	_, err := s.Write(append(varint.Append([]byte{0x17}, 1<<62-1), make([]byte, 8<<20)...))
	require.NoError(t, err, "it is read, and so the window grows")
	require.NoError(t, s.SendDatagram(t.Context(), payload(0, 'x'), 0))
	b := make([]byte, 10)
	ctx, cancel := context.WithTimeout(t.Context(), soon)
	defer cancel()
	n, err := s.ReceiveDatagram(ctx, b)
	require.NoError(t, err)
	require.Equal(t, payload(0, 'x'), b[:n], "datagrams do not wait for it")
}

// TestUnknownContexts: both sides drop datagrams of unknown contexts.
func TestUnknownContexts(t *testing.T) {
	p := newPair(t)
	s := p.raw(newEcho(t))
	for _, b := range [][]byte{payload(2, 'a'), payload(1, 'b'), {}, {0x40}, payload(0, 'c')} {
		require.NoError(t, s.SendDatagram(t.Context(), b, 0))
	}
	b := make([]byte, 10)
	ctx, cancel := context.WithTimeout(t.Context(), soon)
	defer cancel()
	n, err := s.ReceiveDatagram(ctx, b)
	require.NoError(t, err)
	require.Equal(t, payload(0, 'c'), b[:n])
	require.EqualValues(t, 4, p.proxy.Stats().Dropped)

	sent := make(chan struct{})
	p = newPair(t, func(p *pair) {
		p.server.Handler = takeStream(func(s *h3http.Stream) {
			s.Write(capsule(0x17, []byte("x")))
			for _, b := range [][]byte{payload(1, 'a'), {}, payload(0, 'b')} {
				// until the settings are there
				for s.SendDatagram(context.Background(), b, 0) != nil {
				}
			}
			<-sent
		})
	})
	c := p.dial("1.1.1.1:53")
	n, err = c.Read(b)
	require.NoError(t, err)
	require.Equal(t, "b", string(b[:n]))
	require.Eventually(t, func() bool { return c.Stats().Dropped == 3 }, soon, time.Millisecond)
	close(sent)
	_, err = c.Read(b)
	require.Equal(t, io.EOF, err)
}

// TestClientFloodedByProxy: a client keeps a bounded number of payloads.
func TestClientFloodedByProxy(t *testing.T) {
	flooded, done := make(chan struct{}), make(chan struct{})
	p := newPair(t, noDatagrams, func(p *pair) {
		p.server.Handler = takeStream(func(s *h3http.Stream) {
			for i := range 1000 {
				s.Write(capsule(dgram.CapsuleDatagram, payload(0, make([]byte, 10_000+i)...)))
			}
			close(flooded)
			<-done
		})
	})
	c := p.dial("1.1.1.1:53")
	<-flooded
	require.Eventually(t, func() bool { return c.Stats().Received == 1000 }, soon, time.Millisecond)
	b := make([]byte, maxPayload)
	n, err := c.Read(b)
	require.NoError(t, err)
	require.Greater(t, n, 10_900, "the newest are kept")
	require.GreaterOrEqual(t, c.Stats().Dropped, uint64(1000-inboxBytes/10_900))
	close(done)
}

// FuzzCapsules reads any bytes on a stream, in pieces of any size.
func FuzzCapsules(f *testing.F) {
	f.Add(slices.Concat(capsule(0x17, []byte("x")), capsule(dgram.CapsuleDatagram, payload(0, 1, 2))), uint8(1))
	f.Add(dgramHeader(maxPayload+2), uint8(3))
	f.Add(capsule(dgram.CapsuleDatagram, payload(2, 1, 2)), uint8(200))
	f.Fuzz(func(t *testing.T, b []byte, piece uint8) {
		var counts counters
		held := 0
		tn := &tunnel{counters: &counts, hold: func(n int) { held += n }}
		got := 0
		err := tn.readCapsules(bufio.NewReaderSize(&pieces{b, int(piece)%100 + 1}, 16), func(p []byte) error {
			if len(p) > maxPayload {
				t.Fatalf("a payload of %d bytes", len(p))
			}
			got += len(p) + 1
			return nil
		})
		if held != 0 {
			t.Fatalf("%d bytes still count", held)
		}
		if got > len(b) {
			t.Fatalf("%d bytes of %d", got, len(b))
		}
		broken, ok := errors.AsType[*h3.Error](err)
		if err != nil && (!ok || broken.Code != h3.MessageError && broken.Code != h3.DatagramError) {
			t.Fatal(err)
		}
	})
}

// pieces reads at most n bytes at a time.
type pieces struct {
	b []byte
	n int
}

func (p *pieces) Read(b []byte) (int, error) {
	if len(p.b) == 0 {
		return 0, io.EOF
	}
	n := copy(b, p.b[:min(len(p.b), p.n)])
	p.b = p.b[n:]
	return n, nil
}
