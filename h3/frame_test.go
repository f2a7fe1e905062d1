package h3

import (
	"math"
	"testing"

	"github.com/lazoquic/lazo/internal/require"
)

// TestDataRoom: header and payload fill exactly n bytes.
func TestDataRoom(t *testing.T) {
	for n := range 70000 {
		payload, size := dataRoom(n)
		if n < 3 {
			require.Zero(t, payload)
			continue
		}
		b := appendDataHeader(nil, payload, size)
		typ, length, header := parseFrameHeader(b)
		if typ != frameData || header != len(b) || int(length) != payload || header+payload != n {
			t.Fatalf("%d bytes: %d of payload, header %x", n, payload, b)
		}
	}
	payload, size := dataRoom(math.MaxInt)
	require.Equal(t, [2]int{1<<30 - 1, 4}, [2]int{payload, size})
}

func TestErrorCodeNames(t *testing.T) {
	names := map[string]ErrorCode{}
	for c := ErrorCode(0); c < 0x300; c++ {
		if s := c.String(); s[0] != '0' {
			names[s] = c
		}
	}
	require.Equal(t, map[string]ErrorCode{
		"H3_DATAGRAM_ERROR": 0x33, "H3_NO_ERROR": 0x100, "H3_GENERAL_PROTOCOL_ERROR": 0x101, "H3_INTERNAL_ERROR": 0x102,
		"H3_STREAM_CREATION_ERROR": 0x103, "H3_CLOSED_CRITICAL_STREAM": 0x104, "H3_FRAME_UNEXPECTED": 0x105,
		"H3_FRAME_ERROR": 0x106, "H3_EXCESSIVE_LOAD": 0x107, "H3_ID_ERROR": 0x108, "H3_SETTINGS_ERROR": 0x109,
		"H3_MISSING_SETTINGS": 0x10a, "H3_REQUEST_REJECTED": 0x10b, "H3_REQUEST_CANCELLED": 0x10c,
		"H3_REQUEST_INCOMPLETE": 0x10d, "H3_MESSAGE_ERROR": 0x10e, "H3_CONNECT_ERROR": 0x10f, "H3_VERSION_FALLBACK": 0x110,
		"QPACK_DECOMPRESSION_FAILED": 0x200, "QPACK_ENCODER_STREAM_ERROR": 0x201, "QPACK_DECODER_STREAM_ERROR": 0x202,
	}, names)
	require.Equal(t, "0x2", ErrorCode(2).String())
	require.EqualError(t, &Error{MessageError, "why"}, "h3: why (H3_MESSAGE_ERROR)")
}

// FuzzFrame parses frame headers.
func FuzzFrame(f *testing.F) {
	f.Add(frame(frameData, 1, 2, 3))
	f.Add([]byte{0xff, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		typ, length, n := parseFrameHeader(b)
		if n > len(b) || n > maxFrameHeader || n == 0 && len(b) >= maxFrameHeader {
			t.Fatalf("%x: %d", b, n)
		}
		if n == 0 {
			return
		}
		typ2, length2, _ := parseFrameHeader(appendFrameHeader(nil, typ, length))
		if typ != typ2 || length != length2 {
			t.Fatalf("%x became %x, %x", b, typ2, length2)
		}
		for p := phaseHeader; p <= phaseTrailer; p++ {
			if action, err := p.next(typ, true); err == nil && action != actSkip && typ > frameHeaders {
				t.Fatalf("frame %x taken", typ)
			}
		}
	})
}

// FuzzRequest: a scripted client sends a request stream in two pieces. The server reads all that it
// gets. It must survive, and hold nothing in the end.
func FuzzRequest(f *testing.F) {
	f.Add(concat(headers(get...), frame(frameData, 1), headers("x", "1")), 20, true)
	f.Add(concat(headers(post...), frame(frameData), frame(0x21, 1), frame(frameData, 1, 2)), 3, false)
	f.Add(concat(varint(0x41), varint(4), []byte("hello")), 1, true)
	f.Add(headers(":method", "CONNECT", ":protocol", "x", ":scheme", "https", ":authority", "a", ":path", "/"), 9, false)
	f.Fuzz(func(t *testing.T, b []byte, cut int, fin bool) {
		if len(b) > 1<<16 {
			return
		}
		srv, cli := connect(t, &Config{ExtendedConnect: true, Datagrams: true, StreamTypes: []uint64{0x41},
			MaxFieldSectionSize: 2000}, nil)
		srv.on = func(ev Event) {
			switch ev.Kind {
			case EventFields, EventReadable:
				if _, err := readAll(ev.Stream); err == nil {
					t.Fatal("no error")
				}
			case EventCanceled:
				ev.Stream.Release()
			}
		}
		s := cli.request(nil, false)
		cut = min(max(cut, 0), len(b))
		s.Write(b[:cut]) // fails once the connection has closed
		cli.run()
		s.Write(b[cut:])
		if fin {
			s.CloseWrite()
		} else {
			s.Reset(uint64(RequestCancelled))
		}
		s.StopSending(uint64(RequestCancelled))
		cli.run()
		if cli.closed == nil && srv.h.Stats().FieldBytes != 0 {
			t.Fatalf("%+v", srv.h.Stats())
		}
		cli.q.Close(uint64(NoError), "")
		cli.run()
		if srv.closed == nil {
			t.Fatal("not closed")
		}
	})
}
