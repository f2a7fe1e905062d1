package hostile

import (
	"testing"

	"github.com/lazoquic/lazo/internal/qpack"
	"github.com/lazoquic/lazo/internal/require"
	"github.com/lazoquic/lazo/internal/wire"
)

// params are the transport parameters of an honest peer, with others at their end.
func params(more ...[]byte) []byte {
	const room = 1 << 20
	b := wire.AppendParams(nil, &wire.Params{
		InitialSCID: []byte("mine is "), MaxUDPPayload: 65527, MaxData: room, MaxStreamDataBidiLocal: room, MaxStreamDataUni: room,
		MaxStreamDataBidiRemote: room, MaxStreamsBidi: 100, MaxStreamsUni: 100, AckDelayExponent: 3, ActiveConnIDLimit: 4,
		InitialMaxPathID: -1,
	}, 0)
	return append(b, concat(more...)...)
}

// param is a transport parameter.
func param(id uint64, value []byte) []byte {
	return concat(varint(id), varint(uint64(len(value))), value)
}

func concat(parts ...[]byte) (all []byte) {
	for _, p := range parts {
		all = append(all, p...)
	}
	return all
}

func varint(v uint64) []byte { return wire.AppendVarint(nil, v) }

// varints are the bytes of a frame that has nothing but integers.
func varints(v ...uint64) (b []byte) {
	for _, v := range v {
		b = wire.AppendVarint(b, v)
	}
	return b
}

func cryptoFrame(offset uint64, data []byte) []byte {
	return append(wire.AppendCryptoHeader(nil, offset, len(data)), data...)
}

// streamFrame is a STREAM frame with its length.
func streamFrame(id, offset uint64, data []byte, fin bool) []byte {
	typ := uint64(wire.FrameStream | 0x04 | 0x02)
	if fin {
		typ |= 0x01
	}
	return append(varints(typ, id, offset, uint64(len(data))), data...)
}

// times repeats a frame.
func times(n int, frame func(i uint64) []byte) (all [][]byte) {
	for i := range n {
		all = append(all, frame(uint64(i)))
	}
	return all
}

// Types of streams and frames of HTTP/3 (RFC 9114, Sections 6.2 and 7.2; RFC 9204, Section 4.2).
const (
	streamControl = 0
	streamPush    = 1
	streamEncoder = 2
	streamDecoder = 3

	frameData        = 0
	frameHeaders     = 1
	frameCancelPush  = 3
	frameSettings    = 4
	framePushPromise = 5
	frameGoAway      = 7
	frameMaxPushID   = 13

	framePriorityUpdate = 0xf0700 // RFC 9218, Section 7.2
)

// h3Frame is a frame of HTTP/3.
func h3Frame(typ uint64, content ...byte) []byte {
	return concat(varint(typ), varint(uint64(len(content))), content)
}

// settings is a control stream that begins as it should.
func settings(more ...[]byte) []byte {
	return concat(varint(streamControl), h3Frame(frameSettings), concat(more...))
}

// A field is one of a field section.
type field = qpack.Field

// request is a HEADERS frame with the pseudo-header fields of GET and others.
func request(method string, more ...field) []byte {
	return section(append([]field{
		{Name: ":method", Value: method}, {Name: ":scheme", Value: "https"},
		{Name: ":authority", Value: "lazo.test"}, {Name: ":path", Value: "/"},
	}, more...)...)
}

// section is a HEADERS frame.
func section(fields ...field) []byte {
	e := qpack.NewEncoder(0)
	e.Begin(0)
	for _, f := range fields {
		e.Field(f)
	}
	return h3Frame(frameHeaders, e.End(nil)...)
}

// statusOf returns the :status of a response.
func statusOf(t testing.TB, b []byte) string {
	t.Helper()
	typ, n := wire.ParseVarint(b)
	size, m := wire.ParseVarint(b[n:])
	require.Equal(t, uint64(frameHeaders), typ)
	fields, err := qpack.NewDecoder(0, 0, -1).Decode(0, b[n+m:][:size])
	require.NoError(t, err)
	require.Equal(t, ":status", fields[0].Name)
	return fields[0].Value
}
