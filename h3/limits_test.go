package h3

import (
	"bytes"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/internal/require"
)

// These tests attack a server with bytes. There is one for each line of docs/limits.md about
// HTTP/3.

// nextStream opens a request stream. It waits until the client has credit for it.
func (p *side) nextStream() *conn.Stream {
	p.t.Helper()
	for range 100 {
		s, err := p.q.OpenStream(conn.Bidi)
		if err == nil {
			return s
		}
		require.NoError(p.t, p.closed)
		require.ErrorIs(p.t, err, conn.ErrStreamLimit)
		p.net.RunFor(rtt)
	}
	p.t.Fatal("no credit comes back")
	return nil
}

// TestConcurrentRequestLimit: a client can open only as many idle streams as the limit says.
// RFC 9114, Section 6.1 [1, 2].
func TestConcurrentRequestLimit(t *testing.T) {
	srv, cli := connectWith(t, &Config{}, nil, func(server, _ *conn.Config) { server.InitialMaxStreamsBidi = 10 })
	cli.open(conn.Uni, settings(), false)
	for range 10 {
		cli.open(conn.Bidi, headers(post...), false)
	}
	cli.run()
	_, err := cli.q.OpenStream(conn.Bidi)
	require.ErrorIs(t, err, conn.ErrStreamLimit)
	require.Equal(t, 10, srv.h.Stats().Open)
	require.EqualValues(t, 10, srv.h.Stats().Requests)
}

// floods are ways in which a client can make a request come to nothing.
var floods = map[string]func(p *side, s *conn.Stream){
	"reset": func(p *side, s *conn.Stream) {
		p.write(p.stream(s), headers(post...), false)
		p.net.RunFor(rtt)
		s.Reset(uint64(RequestCancelled))
	},
	"stop": func(p *side, s *conn.Stream) {
		p.write(p.stream(s), headers(post...), false)
		p.net.RunFor(rtt)
		s.StopSending(uint64(RequestCancelled))
	},
	"reset before the header": func(p *side, s *conn.Stream) {
		p.write(p.stream(s), []byte{frameHeaders, 30}, false)
		p.net.RunFor(rtt)
		s.Reset(uint64(RequestCancelled))
	},
	"malformed": func(p *side, s *conn.Stream) { p.write(p.stream(s), headers(":method", "GET"), true) },
	"malformed body": func(p *side, s *conn.Stream) {
		p.write(p.stream(s), headers(with(get, "content-length", "1")...), true)
	},
	"no request":         func(p *side, s *conn.Stream) { p.write(p.stream(s), nil, true) },
	"header of no limit": func(p *side, s *conn.Stream) { p.write(p.stream(s), concat(varint(frameHeaders), varint(1<<40)), true) },
}

// TestCancelFlood ends connections whose requests come to nothing. Either the client resets them
// (rapid reset), or it makes the server reset them.
// RFC 9114, Section 10.5 [2].
func TestCancelFlood(t *testing.T) {
	for name, flood := range floods {
		t.Run(name, func(t *testing.T) {
			srv, cli := connect(t, &Config{MaxCancels: 150}, nil)
			srv.on = func(ev Event) {
				if ev.Kind == EventCanceled {
					ev.Stream.Release()
				}
			}
			cli.open(conn.Uni, settings(), false)
			n := 0
			for ; cli.closed == nil && n < 1000; n++ {
				s := cli.nextStream()
				flood(cli, s)
				s.Release()
				cli.net.RunFor(rtt)
			}
			cli.wantClosed(ExcessiveLoad)
			require.EqualValues(t, 1, srv.h.Stats().Floods)
			require.InDelta(t, 150, n, 50, "besides what came back meanwhile")
		})
	}
}

// TestCancelsInPeace: a moderate number of requests that come to nothing is no flood. Neither is
// any number of requests that are completed.
func TestCancelsInPeace(t *testing.T) {
	srv, cli := connect(t, &Config{MaxCancels: 10}, nil)
	srv.echo()
	cli.open(conn.Uni, settings(), false)
	for range 50 {
		cli.open(conn.Bidi, headers(get...), true)
		cli.run()
	}
	for range 50 {
		floods["reset"](cli, cli.nextStream())
		cli.net.RunFor(cancelPeriod / 10)
	}
	require.NoError(t, cli.closed)
	require.EqualValues(t, 50, srv.h.Stats().Canceled)
	require.Zero(t, srv.h.Stats().Floods)

	// It is no flood either if as many requests are answered.
	srv, cli = connect(t, &Config{MaxCancels: 10}, nil)
	srv.echo()
	cli.open(conn.Uni, settings(), false)
	for range 100 {
		floods["reset"](cli, cli.nextStream())
		cli.write(cli.stream(cli.nextStream()), headers(get...), true)
		cli.net.RunFor(2 * rtt)
	}
	require.NoError(t, cli.closed)
	require.EqualValues(t, 100, srv.h.Stats().Canceled)

	srv, cli = connect(t, &Config{MaxCancels: -1}, nil)
	srv.on = func(ev Event) {
		if ev.Kind == EventCanceled {
			ev.Stream.Release()
		}
	}
	cli.open(conn.Uni, settings(), false)
	for range 2000 {
		s := cli.nextStream()
		floods["stop"](cli, s)
		s.Release()
	}
	cli.run()
	require.NoError(t, cli.closed)
}

// TestCompressedBomb sends sections that are short on the wire and large in memory.
func TestCompressedBomb(t *testing.T) {
	// Each byte stands for a line of the static table.
	static := append([]byte{0, 0}, bytes.Repeat([]byte{0xc0 | 23}, 60_000)...)
	srv, cli := connect(t, &Config{}, nil)
	cli.open(conn.Uni, settings(), false)
	before := heap()
	for range 50 {
		s := cli.open(conn.Bidi, frame(frameHeaders, static...), true)
		cli.run()
		require.Equal(t, "431", s.fields()[0].Value)
	}
	require.EqualValues(t, 50, srv.h.Stats().TooLarge)
	require.Zero(t, srv.h.Stats().Requests)
	require.Less(t, heap()-before, int64(4<<20))
}

// TestDynamicTableBomb refers to a long entry of the dynamic table again and again.
func TestDynamicTableBomb(t *testing.T) {
	srv, cli := connect(t, &Config{QPACKTableCapacity: 4096, QPACKBlockedStreams: 10}, nil)
	insert := appendRawString(appendRawString([]byte{0x3f, 0xe1, 0x1f}, 0x40, 5, "x"), 0, 7, strings.Repeat("y", 4000))
	cli.open(conn.Uni, settings(), false)
	cli.open(conn.Uni, concat(varint(streamQPACKEncoder), insert), false)
	// Required insert count 1, base 1, then index 0 a thousand times: 4 MB.
	bomb := append([]byte{2, 0}, bytes.Repeat([]byte{0x80}, 1000)...)
	s := cli.open(conn.Bidi, frame(frameHeaders, bomb...), true)
	cli.run()
	require.NoError(t, cli.closed)
	require.Equal(t, "431", s.fields()[0].Value)
	require.EqualValues(t, 1, srv.h.Stats().TooLarge)
}

// TestBlockedStreamLimit makes more requests wait for the dynamic table than are allowed.
func TestBlockedStreamLimit(t *testing.T) {
	srv, cli := connect(t, &Config{QPACKTableCapacity: 4096, QPACKBlockedStreams: 3}, nil)
	cli.open(conn.Uni, settings(), false)
	for range 3 {
		cli.open(conn.Bidi, frame(frameHeaders, 2, 0, 0x80), true)
	}
	cli.run()
	require.NoError(t, cli.closed)
	require.Zero(t, srv.h.Stats().Requests)
	cli.open(conn.Bidi, frame(frameHeaders, 2, 0, 0x80), true)
	cli.run()
	cli.wantClosed(QPACKDecompressionFailed)
}

// TestUnreadInstructions: a peer does not read QPACK's instructions. The bytes that wait are
// bounded.
func TestUnreadInstructions(t *testing.T) {
	srv, cli := connectWith(t, &Config{}, nil, func(server, client *conn.Config) {
		server.UnsentBytes = 1 << 10
		client.InitialMaxStreamData, client.MaxStreamData = 64, 64
	})
	handle := cli.node.OnEvent
	cli.node.OnEvent = func(now time.Time, ev conn.Event) {
		if ev.Kind != conn.EventStreamReadable { // it does not read
			handle(now, ev)
		}
	}
	cli.open(conn.Uni, settings(), false)
	sent := 0
	for ; sent < 1<<20 && cli.closed == nil; sent += 100 {
		srv.h.sendInstructions(outDecoder, make([]byte, 100))
		cli.net.RunFor(rtt)
		require.LessOrEqual(t, len(srv.h.out[outDecoder].buf), maxUnsent)
	}
	cli.wantClosed(ExcessiveLoad)
	require.InDelta(t, maxUnsent, sent, 2<<10)
}

// TestPriorityUpdateFlood sends PRIORITY_UPDATE for requests that never come.
func TestPriorityUpdateFlood(t *testing.T) {
	srv, cli := connect(t, &Config{}, nil)
	ctrl := cli.open(conn.Uni, settings(), false)
	for i := range uint64(100) {
		for range 50 {
			cli.write(ctrl, frame(framePriorityUpdateRequest, append(varint(4*i), "u=1,i"...)...), false)
		}
		cli.run()
	}
	require.NoError(t, cli.closed)
	require.LessOrEqual(t, len(srv.h.early), maxEarlyPriorities)
	require.Zero(t, srv.h.Stats().Open)
}

// TestControlFrameFlood sends frames that are allowed and useless.
// RFC 9114, Section 6.2.1 [6].
func TestControlFrameFlood(t *testing.T) {
	srv, cli := connect(t, &Config{}, nil)
	srv.echo()
	ctrl := cli.open(conn.Uni, settings(), false)
	useless := bytes.Repeat(concat(frame(frameMaxPushID, 7), frame(reserved(1), 1, 2, 3), frame(frameGoAway, 0)), 100)
	before := heap()
	for range 100 {
		cli.write(ctrl, useless, false)
		cli.run()
	}
	require.NoError(t, cli.closed)
	require.Less(t, heap()-before, int64(1<<20))
	s := cli.open(conn.Bidi, headers(get...), true)
	cli.run()
	require.True(t, s.eof)
}

// TestDatagramsWithoutRequest floods streams that do not exist with datagrams.
func TestDatagramsWithoutRequest(t *testing.T) {
	srv, cli := connect(t, &Config{Datagrams: true}, nil)
	cli.open(conn.Uni, concat(varint(streamControl), frame(frameSettings, setting(SettingDatagrams, 1)...)), false)
	before := heap()
	for i := range uint64(2000) {
		_, err := cli.q.SendDatagram(append(varint(i%100), make([]byte, 1000)...), conn.DatagramOptions{})
		require.NoError(t, err)
		cli.net.RunFor(rtt)
	}
	require.NoError(t, cli.closed)
	require.EqualValues(t, 2000-maxFlowQueue, srv.h.mux.Dropped())
	require.Less(t, heap()-before, int64(1<<20))
}

// TestUnreadBodies: nobody reads a hundred bodies. They hold no more than the window of the
// connection allows.
func TestUnreadBodies(t *testing.T) {
	srv, cli := connect(t, &Config{}, nil)
	cli.open(conn.Uni, settings(), false)
	body := concat(headers(post...), varint(frameData), varint(1<<30))
	var streams []*rawStream
	for range 100 {
		streams = append(streams, cli.open(conn.Bidi, body, false))
	}
	cli.run()
	for range 20 {
		for _, s := range streams {
			s.Write(make([]byte, 64<<10))
		}
		cli.run()
	}
	require.NoError(t, cli.closed)
	require.EqualValues(t, 100, srv.h.Stats().Requests)
	held := srv.node.Stats().Buffered
	require.Greater(t, held, int64(900<<10))
	require.LessOrEqual(t, held, int64(2<<20), "the initial window of a connection, and the rest of blocks")
}

// TestUnreadResponses: clients do not read. What a server writes to them is bounded by
// conn.Config.UnsentBytes for each request, and by the client's windows.
func TestUnreadResponses(t *testing.T) {
	srv, cli := connectWith(t, &Config{}, nil, func(server, client *conn.Config) {
		server.UnsentBytes = 32 << 10
		client.InitialMaxStreamData, client.InitialMaxData = 1<<10, 1<<10
	})
	srv.on = func(ev Event) {
		if ev.Kind == EventFields {
			require.NoError(t, ev.Stream.SendFields(okFields, false))
		}
		if ev.Kind == EventFields || ev.Kind == EventWritable {
			for {
				if _, err := ev.Stream.Write(make([]byte, 16<<10)); err != nil {
					require.ErrorIs(t, err, conn.ErrWouldBlock)
					return
				}
			}
		}
	}
	cli.node.OnEvent = nil // it does not read
	cli.open(conn.Uni, settings(), false)
	for range 50 {
		cli.open(conn.Bidi, headers(get...), true)
	}
	cli.run()
	require.Equal(t, 50, srv.h.Stats().Open)
	held := srv.node.Stats().Buffered
	require.Greater(t, held, int64(50*31<<10))
	require.LessOrEqual(t, held, int64(50*48<<10))
}

// heap returns how many bytes are in use.
func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// TestFieldLimits: the largest section that passes, and the smallest that does not. Sizes count as
// in RFC 9114, Section 4.2.2.
func TestFieldLimits(t *testing.T) {
	const limit = 4096
	size := 0
	for _, f := range getFields {
		size += len(f.Name) + len(f.Value) + 32
	}
	for _, over := range []int{0, 1} {
		srv, cli := connect(t, &Config{MaxFieldSectionSize: limit}, nil)
		cli.open(conn.Uni, settings(), false)
		value := strings.Repeat("x", limit-size-len("x")-32+over)
		section := []byte{0, 0}
		for _, f := range append(getFields, Field{Name: "x", Value: value}) {
			section = appendRawString(appendRawString(section, 0x20, 3, f.Name), 0, 7, f.Value)
		}
		cli.open(conn.Bidi, frame(frameHeaders, section...), true)
		cli.run()
		require.EqualValues(t, over, srv.h.Stats().TooLarge)
		require.EqualValues(t, 1-over, srv.h.Stats().Requests)
	}
}

// TestAbandon gives up a response that was sent to its end but that the client does not
// acknowledge. The memory of the response is freed.
func TestAbandon(t *testing.T) {
	srv, cli := connect(t, &Config{}, nil)
	s := cli.request(headers(get...), true)
	r := srv.accepted()
	require.NoError(t, r.SendFields(okFields, false))
	_, err := r.Write(make([]byte, 50_000))
	require.NoError(t, err)
	require.NoError(t, r.CloseWrite())
	cli.node.OnEvent = nil
	down := &cli.net.Default
	down.Loss = 1
	srv.net.RunFor(rtt)
	require.Greater(t, srv.node.Stats().Buffered, int64(50_000))
	r.Abandon(ExcessiveLoad)
	r.Abandon(NoError) // once is enough
	r.Release()
	require.Zero(t, srv.node.Stats().Buffered)
	down.Loss = 0
	cli.node.OnEvent = cli.handle
	cli.run()
	cli.run()
	require.Equal(t, ExcessiveLoad, s.reset)
	require.NoError(t, cli.closed)
	require.Zero(t, srv.h.Stats().Open)
}
