package qlog_test

import (
	"encoding/hex"
	"strings"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/internal/protocol"
	"github.com/quic-go/quic-go/qlog"
)

// A wireFrame can be written as it is on the wire.
type wireFrame interface {
	Append([]byte, protocol.Version) ([]byte, error)
	Length(protocol.Version) protocol.ByteCount
}

// TestFramesOnTheWire: frames are as RFC 9000, Section 19 has them.
func TestFramesOnTheWire(t *testing.T) {
	ranges := []qlog.AckRange{{Smallest: 90, Largest: 100}, {Smallest: 70, Largest: 80}}
	id := quic.ConnectionIDFromBytes([]byte("abcd"))
	for want, f := range map[string]wireFrame{
		"01":                 &qlog.PingFrame{},
		"02406405010a080a":   &qlog.AckFrame{AckRanges: ranges, DelayTime: 40 * time.Microsecond},
		"03406400000a010203": &qlog.AckFrame{AckRanges: ranges[:1], ECT0: 1, ECT1: 2, ECNCE: 3},
		"0407032a":           &qlog.ResetStreamFrame{StreamID: 7, ErrorCode: 3, FinalSize: 42},
		"2407032a10":         &qlog.ResetStreamFrame{StreamID: 7, ErrorCode: 3, FinalSize: 42, ReliableSize: 16},
		"054064407f":         &qlog.StopSendingFrame{StreamID: 100, ErrorCode: 127},
		"0703616263":         &qlog.NewTokenFrame{Token: []byte("abc")},
		"107fff":             &qlog.MaxDataFrame{MaximumData: 0x3fff},
		"110805":             &qlog.MaxStreamDataFrame{StreamID: 8, MaximumStreamData: 5},
		"1205":               &qlog.MaxStreamsFrame{Type: protocol.StreamTypeBidi, MaxStreamNum: 5},
		"1305":               &qlog.MaxStreamsFrame{Type: protocol.StreamTypeUni, MaxStreamNum: 5},
		"1405":               &qlog.DataBlockedFrame{MaximumData: 5},
		"150805":             &qlog.StreamDataBlockedFrame{StreamID: 8, MaximumStreamData: 5},
		"1605":               &qlog.StreamsBlockedFrame{Type: protocol.StreamTypeBidi, StreamLimit: 5},
		"1705":               &qlog.StreamsBlockedFrame{Type: protocol.StreamTypeUni, StreamLimit: 5},
		"1802010461626364" + strings.Repeat("00", 16): &qlog.NewConnectionIDFrame{SequenceNumber: 2, RetirePriorTo: 1, ConnectionID: id},
		"1905":               &qlog.RetireConnectionIDFrame{SequenceNumber: 5},
		"1a3132333435363738": &qlog.PathChallengeFrame{Data: [8]byte([]byte("12345678"))},
		"1b3132333435363738": &qlog.PathResponseFrame{Data: [8]byte([]byte("12345678"))},
		"1c0a08026e6f":       &qlog.ConnectionCloseFrame{ErrorCode: 10, FrameType: 8, ReasonPhrase: "no"},
		"1d0a026e6f":         &qlog.ConnectionCloseFrame{IsApplicationError: true, ErrorCode: 10, ReasonPhrase: "no"},
		"1e":                 &qlog.HandshakeDoneFrame{},
		"1f":                 &qlog.ImmediateAckFrame{},
		"40af010243e803":     &qlog.AckFrequencyFrame{SequenceNumber: 1, AckElicitingThreshold: 2, RequestMaxAckDelay: time.Millisecond, ReorderingThreshold: 3},
	} {
		b, err := f.Append([]byte("x"), quic.Version1)
		if got := hex.EncodeToString(b); got != "78"+want || err != nil {
			t.Errorf("%T is %s, %v, want %s", f, got, err, want)
		}
		if n := f.Length(quic.Version1); int(n) != len(want)/2 {
			t.Errorf("%T has %d bytes, want %s", f, n, want)
		}
	}
}

// TestAckFrameShrinks: the newest ranges stay.
func TestAckFrameShrinks(t *testing.T) {
	f := &qlog.AckFrame{DelayTime: time.Second}
	for i := range protocol.PacketNumber(100) {
		f.AckRanges = append(f.AckRanges, qlog.AckRange{Smallest: 1000 - 10*i, Largest: 1005 - 10*i})
	}
	newest := f.AckRanges[0]
	most := f.Length(quic.Version1)
	for _, n := range []protocol.ByteCount{1000, most - 1, 20, 5} {
		f.Truncate(n, quic.Version1)
		if got := f.Length(quic.Version1); got > max(n, 10) || len(f.AckRanges) > 64 || f.AckRanges[0] != newest {
			t.Errorf("%d bytes and %d ranges where %d bytes fit", got, len(f.AckRanges), n)
		}
	}
	if len(f.AckRanges) != 1 {
		t.Errorf("%d ranges fit nowhere", len(f.AckRanges))
	}
	if f.Reset(); len(f.AckRanges) != 0 || f.DelayTime != 0 {
		t.Errorf("Reset leaves %v", f)
	}
}
