package qlog

import (
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/lazoquic/lazo/internal/require"
	"github.com/lazoquic/lazo/internal/wire"
)

// An empty connection ID is there too: it is not the same as one that nobody knows.
func TestShortHeader(t *testing.T) {
	for _, id := range []string{"", "\x01\x02"} {
		l := new(log)
		w := New(l, Header{ID: []byte("id"), Start: time.Unix(0, 0)})
		payload := []byte{wire.FramePing}
		raw := slices.Concat([]byte{0x40}, []byte(id), []byte{7}, payload, make([]byte, aeadOverhead))
		w.PacketSent(time.Unix(1, 0), &Packet{Type: OneRTT, Raw: raw, Payload: payload})
		var got struct {
			Data struct {
				Header struct{ DCID *string }
			}
		}
		require.NoError(t, json.Unmarshal(l.last, &got))
		require.True(t, got.Data.Header.DCID != nil)
		require.Equal(t, map[string]string{"": "", "\x01\x02": "0102"}[id], *got.Data.Header.DCID)
	}
}

// TestEventName: the name of an event comes from another package.
func TestEventName(t *testing.T) {
	l := new(log)
	w := New(l, Header{ID: []byte("id"), Start: time.Unix(0, 0)})
	const name = "moq:\"a\\b\n"
	w.Event(time.Unix(1, 0), name, []byte(`{"a":1}`))
	var got struct{ Name string }
	require.NoError(t, json.Unmarshal(l.last, &got))
	require.Equal(t, name, got.Name)
}
