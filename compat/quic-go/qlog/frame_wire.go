package qlog

import (
	"time"

	"github.com/quic-go/quic-go/internal/protocol"
	"github.com/quic-go/quic-go/quicvarint"
)

// Frames as they are on the wire (RFC 9000, Section 19). Append appends a frame to b, and Length
// returns how many bytes that takes.

// numbers appends varints.
func numbers(b []byte, ns ...uint64) []byte {
	for _, n := range ns {
		b = quicvarint.Append(b, n)
	}
	return b
}

// size returns the length of what a method Append appends.
func size(appendTo func([]byte, protocol.Version) ([]byte, error), v protocol.Version) protocol.ByteCount {
	b, _ := appendTo(nil, v)
	return protocol.ByteCount(len(b))
}

func (*PingFrame) Append(b []byte, _ protocol.Version) ([]byte, error) { return append(b, 0x01), nil }
func (f *PingFrame) Length(v protocol.Version) protocol.ByteCount      { return size(f.Append, v) }

// The ACK delay has the default exponent of 3, and a frame at most 64 ranges.
const (
	ackDelayUnit = 8 * time.Microsecond
	maxAckRanges = 64
)

// Append appends the first 64 ranges.
func (f *AckFrame) Append(b []byte, _ protocol.Version) ([]byte, error) {
	return f.appendRanges(b, min(len(f.AckRanges), maxAckRanges)), nil
}

func (f *AckFrame) Length(v protocol.Version) protocol.ByteCount { return size(f.Append, v) }

func (f *AckFrame) appendRanges(b []byte, n int) []byte {
	first := f.AckRanges[0]
	typ, ecn := uint64(0x02), f.ECT0 > 0 || f.ECT1 > 0 || f.ECNCE > 0
	if ecn {
		typ = 0x03
	}
	b = numbers(b, typ, uint64(first.Largest), uint64(f.DelayTime/ackDelayUnit), uint64(n-1), uint64(first.Largest-first.Smallest))
	for i := 1; i < n; i++ {
		above, r := f.AckRanges[i-1], f.AckRanges[i]
		b = numbers(b, uint64(above.Smallest-r.Largest-2), uint64(r.Largest-r.Smallest))
	}
	if ecn {
		b = numbers(b, f.ECT0, f.ECT1, f.ECNCE)
	}
	return b
}

// Truncate drops the last ranges until the frame has at most maxSize bytes. It leaves one.
func (f *AckFrame) Truncate(maxSize protocol.ByteCount, _ protocol.Version) {
	n := min(len(f.AckRanges), maxAckRanges)
	for n > 1 && protocol.ByteCount(len(f.appendRanges(nil, n))) > maxSize {
		n--
	}
	f.AckRanges = f.AckRanges[:n]
}

// Reset empties the frame, and keeps the memory of its ranges.
func (f *AckFrame) Reset() { *f = AckFrame{AckRanges: f.AckRanges[:0]} }

func (f *ResetStreamFrame) Append(b []byte, _ protocol.Version) ([]byte, error) {
	if f.ReliableSize == 0 {
		return numbers(b, 0x04, uint64(f.StreamID), uint64(f.ErrorCode), uint64(f.FinalSize)), nil
	}
	return numbers(b, typeResetStreamAt, uint64(f.StreamID), uint64(f.ErrorCode), uint64(f.FinalSize), uint64(f.ReliableSize)), nil
}

func (f *ResetStreamFrame) Length(v protocol.Version) protocol.ByteCount { return size(f.Append, v) }

func (f *StopSendingFrame) Append(b []byte, _ protocol.Version) ([]byte, error) {
	return numbers(b, 0x05, uint64(f.StreamID), uint64(f.ErrorCode)), nil
}

func (f *StopSendingFrame) Length(v protocol.Version) protocol.ByteCount { return size(f.Append, v) }

func (f *NewTokenFrame) Append(b []byte, _ protocol.Version) ([]byte, error) {
	return append(numbers(b, 0x07, uint64(len(f.Token))), f.Token...), nil
}

func (f *NewTokenFrame) Length(v protocol.Version) protocol.ByteCount { return size(f.Append, v) }

func (f *MaxDataFrame) Append(b []byte, _ protocol.Version) ([]byte, error) {
	return numbers(b, 0x10, uint64(f.MaximumData)), nil
}

func (f *MaxDataFrame) Length(v protocol.Version) protocol.ByteCount { return size(f.Append, v) }

func (f *MaxStreamDataFrame) Append(b []byte, _ protocol.Version) ([]byte, error) {
	return numbers(b, 0x11, uint64(f.StreamID), uint64(f.MaximumStreamData)), nil
}

func (f *MaxStreamDataFrame) Length(v protocol.Version) protocol.ByteCount { return size(f.Append, v) }

// typeFor returns the type of a frame for bidirectional streams, or the next one, which is for
// unidirectional ones.
func typeFor(bidi uint64, t protocol.StreamType) uint64 {
	if t == protocol.StreamTypeUni {
		return bidi + 1
	}
	return bidi
}

func (f *MaxStreamsFrame) Append(b []byte, _ protocol.Version) ([]byte, error) {
	return numbers(b, typeFor(0x12, f.Type), uint64(f.MaxStreamNum)), nil
}

func (f *MaxStreamsFrame) Length(v protocol.Version) protocol.ByteCount { return size(f.Append, v) }

func (f *DataBlockedFrame) Append(b []byte, _ protocol.Version) ([]byte, error) {
	return numbers(b, 0x14, uint64(f.MaximumData)), nil
}

func (f *DataBlockedFrame) Length(v protocol.Version) protocol.ByteCount { return size(f.Append, v) }

func (f *StreamDataBlockedFrame) Append(b []byte, _ protocol.Version) ([]byte, error) {
	return numbers(b, 0x15, uint64(f.StreamID), uint64(f.MaximumStreamData)), nil
}

func (f *StreamDataBlockedFrame) Length(v protocol.Version) protocol.ByteCount {
	return size(f.Append, v)
}

func (f *StreamsBlockedFrame) Append(b []byte, _ protocol.Version) ([]byte, error) {
	return numbers(b, typeFor(0x16, f.Type), uint64(f.StreamLimit)), nil
}

func (f *StreamsBlockedFrame) Length(v protocol.Version) protocol.ByteCount {
	return size(f.Append, v)
}

func (f *NewConnectionIDFrame) Append(b []byte, _ protocol.Version) ([]byte, error) {
	b = append(numbers(b, 0x18, f.SequenceNumber, f.RetirePriorTo), byte(f.ConnectionID.Len()))
	b = append(b, f.ConnectionID.Bytes()...)
	return append(b, f.StatelessResetToken[:]...), nil
}

func (f *NewConnectionIDFrame) Length(v protocol.Version) protocol.ByteCount {
	return size(f.Append, v)
}

func (f *RetireConnectionIDFrame) Append(b []byte, _ protocol.Version) ([]byte, error) {
	return numbers(b, 0x19, f.SequenceNumber), nil
}

func (f *RetireConnectionIDFrame) Length(v protocol.Version) protocol.ByteCount {
	return size(f.Append, v)
}

func (f *PathChallengeFrame) Append(b []byte, _ protocol.Version) ([]byte, error) {
	return append(append(b, 0x1a), f.Data[:]...), nil
}

func (f *PathChallengeFrame) Length(v protocol.Version) protocol.ByteCount { return size(f.Append, v) }

func (f *PathResponseFrame) Append(b []byte, _ protocol.Version) ([]byte, error) {
	return append(append(b, 0x1b), f.Data[:]...), nil
}

func (f *PathResponseFrame) Length(v protocol.Version) protocol.ByteCount { return size(f.Append, v) }

func (f *ConnectionCloseFrame) Append(b []byte, _ protocol.Version) ([]byte, error) {
	if f.IsApplicationError {
		b = numbers(b, 0x1d, f.ErrorCode)
	} else {
		b = numbers(b, 0x1c, f.ErrorCode, f.FrameType)
	}
	return append(numbers(b, uint64(len(f.ReasonPhrase))), f.ReasonPhrase...), nil
}

func (f *ConnectionCloseFrame) Length(v protocol.Version) protocol.ByteCount {
	return size(f.Append, v)
}

func (*HandshakeDoneFrame) Append(b []byte, _ protocol.Version) ([]byte, error) {
	return append(b, 0x1e), nil
}

func (f *HandshakeDoneFrame) Length(v protocol.Version) protocol.ByteCount { return size(f.Append, v) }

func (*ImmediateAckFrame) Append(b []byte, _ protocol.Version) ([]byte, error) {
	return append(b, 0x1f), nil
}

func (f *ImmediateAckFrame) Length(v protocol.Version) protocol.ByteCount { return size(f.Append, v) }

func (f *AckFrequencyFrame) Append(b []byte, _ protocol.Version) ([]byte, error) {
	delay := uint64(f.RequestMaxAckDelay / time.Microsecond)
	return numbers(b, typeAckFrequency, f.SequenceNumber, f.AckElicitingThreshold, delay, uint64(f.ReorderingThreshold)), nil
}

func (f *AckFrequencyFrame) Length(v protocol.Version) protocol.ByteCount { return size(f.Append, v) }
