package qlog

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"

	"github.com/lazoquic/lazo/internal/require"
	"github.com/lazoquic/lazo/internal/wire"
)

// A log keeps the last record.
type log struct{ last []byte }

func (l *log) Write(b []byte) (int, error) {
	l.last = bytes.TrimPrefix(bytes.Clone(b), []byte{recordSeparator})
	return len(b), nil
}

func (l *log) Close() error { return nil }

// The frames behind a frame of multipath are found, although the format has no name for that one.
func TestMultipathFrames(t *testing.T) {
	at := func(int) (start, end uint64) { return 3, 9 }
	frames := map[uint64][]byte{
		wire.FramePathNewConnectionID: wire.AppendPathNewConnectionID(nil, 1, 5, 2, []byte("some id"), [16]byte{1}),
		wire.FrameMaxPathID:           wire.AppendPathLimit(nil, wire.FrameMaxPathID, wire.MaxPathID),
		wire.FramePathsBlocked:        wire.AppendPathLimit(nil, wire.FramePathsBlocked, 3),
	}
	frames[wire.FramePathAck], _ = wire.AppendPathAck(nil, 100, 70, 1, at, 5, nil)
	frames[wire.FramePathAckECN], _ = wire.AppendPathAck(nil, 100, 1, 1, at, 5, &[3]uint64{1, 2, 300})
	for _, typ := range []uint64{
		wire.FramePathAbandon, wire.FramePathStatusBackup, wire.FramePathStatusAvailable, wire.FramePathRetireConnectionID,
		wire.FramePathCIDsBlocked,
	} {
		frames[typ] = wire.AppendPathValue(nil, typ, 1, 70)
	}
	for _, format := range []Format{Draft, V03} {
		for typ, b := range frames {
			l := new(log)
			w := New(l, Header{Format: format, ID: []byte("id"), Start: time.Unix(0, 0)})
			w.PacketSent(time.Unix(1, 0), &Packet{Type: OneRTT, Payload: append(bytes.Clone(b), wire.FramePing)})
			var got struct {
				Data struct {
					Frames []struct {
						Type  string `json:"frame_type"`
						Bytes uint64 `json:"frame_type_bytes"`
						Value uint64 `json:"frame_type_value"`
					}
				}
			}
			require.NoError(t, json.Unmarshal(l.last, &got))
			require.Len(t, got.Data.Frames, 2, "%#x", typ)
			require.Equal(t, "unknown", got.Data.Frames[0].Type)
			require.Equal(t, typ, got.Data.Frames[0].Bytes+got.Data.Frames[0].Value)
			require.Equal(t, "ping", got.Data.Frames[1].Type)
		}
	}
}

// A peer's initial_max_path_id is there as a parameter without a name, 0 too.
func TestMultipathParam(t *testing.T) {
	for value, want := range map[int64]string{-1: "", 0: `{"id":62,"value":"00"}`, 300: `{"id":62,"value":"412c"}`} {
		l := new(log)
		w := New(l, Header{ID: []byte("id"), Start: time.Unix(0, 0)})
		p := wire.DefaultParams()
		p.InitialMaxPathID = value
		w.ParametersSet(time.Unix(1, 0), true, &p)
		require.Equal(t, want != "", bytes.Contains(l.last, []byte(`"unknown_parameters":[`+want)), "%s", l.last)
	}
}
