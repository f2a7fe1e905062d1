package wire

import (
	"slices"
	"testing"

	"github.com/lazoquic/lazo/internal/require"
)

// rewriteMultipath is rewrite for the frames of draft-ietf-quic-multipath. Path IDs above MaxPathID
// parse, so that the caller can name them; such frames are left as they are.
func rewriteMultipath(typ uint64, b []byte) (out []byte, n int) {
	var path, v, prior uint64
	var again func() []byte
	switch typ {
	case FramePathAck, FramePathAckECN:
		var f Ack
		path, f, n = ParsePathAck(b)
		again = func() []byte { return appendPathRanges(nil, 64+n, uint32(path), ranges(&f), f.Delay, counts(&f)) }
	case FramePathNewConnectionID:
		var id []byte
		var token [16]byte
		path, v, prior, id, token, n = ParsePathNewConnectionID(b)
		again = func() []byte { return AppendPathNewConnectionID(nil, uint32(path), v, prior, id, token) }
	case FrameMaxPathID, FramePathsBlocked:
		path, n = ParsePathLimit(b)
		again = func() []byte { return AppendPathLimit(nil, typ, uint32(path)) }
	case FramePathAbandon, FramePathStatusBackup, FramePathStatusAvailable, FramePathRetireConnectionID, FramePathCIDsBlocked:
		path, v, n = ParsePathValue(b)
		again = func() []byte { return AppendPathValue(nil, typ, uint32(path), v) }
	default:
		return nil, -1
	}
	if n >= 0 && path > MaxPathID {
		return b[:n], n
	}
	return appendIf(n, again), n
}

// counts returns the ECN counts of a frame, nil if it has none.
func counts(f *Ack) *[3]uint64 {
	if !f.ECN {
		return nil
	}
	return &[3]uint64{f.ECT0, f.ECT1, f.CE}
}

// appendPathRanges is appendRanges for PATH_ACK. It must not omit any.
func appendPathRanges(b []byte, limit int, path uint32, rs []AckRange, delay uint64, ecn *[3]uint64) []byte {
	at := func(i int) (start, end uint64) {
		r := rs[len(rs)-1-i]
		return r.Smallest, r.Largest + 1
	}
	b, omitted := AppendPathAck(b, limit, path, len(rs), at, delay, ecn)
	if omitted > 0 {
		return nil
	}
	return b
}

// Whatever the limit from 40 on, or 72 with ECN, the largest range is there and the frame fits.
func TestAppendPathAckLimit(t *testing.T) {
	var rs []AckRange
	for i := range uint64(100) {
		rs = append(rs, AckRange{i * 300, i*300 + i})
	}
	slices.Reverse(rs)
	at := func(i int) (start, end uint64) { return rs[len(rs)-1-i].Smallest, rs[len(rs)-1-i].Largest + 1 }
	for _, ecn := range []*[3]uint64{nil, {MaxVarint, MaxVarint, MaxVarint}} {
		minimum := 40
		if ecn != nil {
			minimum = 72
		}
		omitted := 0
		for limit := minimum; limit < 600; limit++ {
			var b []byte
			b, omitted = AppendPathAck([]byte("xyz"), limit, MaxPathID, len(rs), at, MaxVarint, ecn)
			b = b[3:]
			require.LessOrEqual(t, len(b), limit)
			path, f, n := ParsePathAck(b)
			require.Equal(t, len(b), n)
			require.Equal(t, uint64(MaxPathID), path)
			require.Equal(t, rs[:len(rs)-omitted], ranges(&f))
			require.Equal(t, ecn, counts(&f))
		}
		require.Zero(t, omitted, "all fit in the end")
	}
}

// A path ID that no nonce has room for is told to the caller as it is.
func TestPathIDAboveMaximum(t *testing.T) {
	path, n := ParsePathLimit(example(t, "7e7a c000000100000000"))
	require.Equal(t, 10, n)
	require.Equal(t, uint64(MaxPathID+1), path)
	path, _, n = ParsePathValue(example(t, "7e75 ffffffffffffffff 00"))
	require.Equal(t, 11, n)
	require.Equal(t, uint64(MaxVarint), path)
}
