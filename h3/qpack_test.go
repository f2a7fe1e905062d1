package h3

import (
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn/conntest"
	"github.com/lazoquic/lazo/internal/require"
)

// TestDynamicTable sends many requests over a bad network, with tables and without
// on either side, with and without streams that may block.
func TestDynamicTable(t *testing.T) {
	for _, c := range []struct {
		name              string
		capacity, blocked int64
	}{{"static", 0, 0}, {"never blocked", 4096, 0}, {"some blocked", 4096, 4}, {"small", 200, 100}} {
		t.Run(c.name, func(t *testing.T) {
			cfg := &Config{QPACKTableCapacity: c.capacity, QPACKBlockedStreams: c.blocked}
			srv, cli := connect(t, cfg, cfg)
			bad := conntest.Link{Delay: rtt / 2, Jitter: rtt, Loss: 0.05}
			cli.net.Connect(srv.node, cli.node, bad, bad)
			cli.run()

			fields := func(i int) []Field {
				return append(getFields[:4:4],
					Field{Name: "user-agent", Value: "lazo/1.0 (a test of the dynamic table)"},
					Field{Name: "x-number", Value: fmt.Sprint(i)},
					Field{Name: "x-sometimes", Value: fmt.Sprint("value ", i/10)})
			}
			srv.on = func(ev Event) {
				if ev.Kind == EventFields {
					// Echo the fields, and then again as trailers.
					out := append([]Field{{Name: ":status", Value: "200"}}, ev.Fields[4:]...)
					require.NoError(t, ev.Stream.SendFields(out, false))
					require.NoError(t, ev.Stream.SendFields(out[1:], true))
					ev.Stream.Release()
				}
			}
			const requests = 300
			answered, sections := 0, make(map[*Stream]int)
			cli.on = func(ev Event) {
				switch s := ev.Stream; ev.Kind {
				case EventFields:
					want := fields(s.UserData.(int))[4:]
					if sections[s]++; sections[s] == 1 {
						want = append([]Field{{Name: ":status", Value: "200"}}, want...)
					}
					require.Equal(t, want, ev.Fields)
				case EventReadable:
					_, err := s.Read(make([]byte, 1))
					require.ErrorIs(t, err, io.EOF)
					require.Equal(t, 2, sections[s])
					delete(sections, s)
					answered++
					s.Release()
				case EventCanceled:
					t.Errorf("canceled: %v %v", ev.Code, ev.Err)
				}
			}
			for i := range requests {
				s, err := cli.h.OpenRequest(fields(i), true)
				require.NoError(t, err)
				s.UserData = i
				cli.net.RunFor(rtt / 2)
			}
			cli.net.RunUntil(time.Minute, func() bool { return answered == requests })
			require.NoError(t, cli.closed)
			require.NoError(t, srv.closed)
		})
	}
}

// TestTableTurnedOff: a client that wants no table of its own makes none.
func TestTableTurnedOff(t *testing.T) {
	srv, cli := connect(t, &Config{QPACKTableCapacity: 4096}, &Config{QPACKEncoderCapacity: -1})
	for range 3 {
		_, err := cli.h.OpenRequest(append(getFields[:4:4], Field{Name: "user-agent", Value: "lazo"}), true)
		require.NoError(t, err)
		cli.run()
	}
	require.Equal(t, 3, countKind(srv.events, EventFields))
	require.Empty(t, cli.h.out[outEncoder].buf)
	require.Empty(t, srv.h.out[outDecoder].buf)
}

// TestBlockedStreamIsReset: a request that waits for the table may end any time.
func TestBlockedStreamIsReset(t *testing.T) {
	srv, cli := connect(t, &Config{QPACKTableCapacity: 4096, QPACKBlockedStreams: 2}, nil)
	blocked := frame(frameHeaders, 2, 0, 0x80, 0xd1, 0xd7, 0xc1) // refers to entry 0
	s := cli.request(blocked, true)
	for range 5 {
		r := cli.request(blocked, false)
		r.Reset(uint64(RequestCancelled))
		cli.run()
		require.Equal(t, RequestIncomplete, r.reset)
	}
	srv.refuse(EventFields)
	require.Equal(t, 1, srv.h.Stats().Open)
	cli.open(2>>1, concat(varint(streamQPACKEncoder), []byte("\x3f\xe1\x1f\xc0\x09lazo.test")), false)
	cli.run()
	ev := srv.want(EventFields)
	require.Equal(t, s.ID(), ev.Stream.ID())
	require.Equal(t, Field{Name: ":authority", Value: "lazo.test"}, ev.Fields[0])
	require.True(t, ev.End)
	// Cancellations of streams 4 to 20, an increment, the acknowledgment of stream 0.
	require.Equal(t, append(varint(streamQPACKDecoder), 0x44, 0x48, 0x4c, 0x50, 0x54, 0x01, 0x80), cli.streams[11].data)
}
