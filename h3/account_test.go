package h3

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/internal/require"
)

// An accountWay is a way in which a scripted client makes a server keep something.
type accountWay struct {
	name string
	cfg  Config
	on   func(Event) // of the server
	fill func(srv, cli *side)
}

func accountWays() []accountWay {
	return []accountWay{
		{name: "nothing but the connection", fill: func(srv, cli *side) {}},
		{name: "field sections that do not come whole", fill: func(srv, cli *side) {
			for range 60 {
				cli.open(conn.Bidi, concat(varint(frameHeaders), varint(16<<10), make([]byte, 15<<10)), false)
				cli.run()
			}
		}},
		{name: "requests without answers", on: func(Event) {}, fill: func(srv, cli *side) {
			for range 90 {
				cli.open(conn.Bidi, headers(post...), false)
				cli.run() // chunks of the client are used again, and not kept for reuse
			}
		}},
		{name: "requests that have ended", on: func(ev Event) {
			if ev.Kind == EventFields {
				ev.Stream.Release()
			}
		}, fill: func(srv, cli *side) {
			long := section(append(post[:len(post):len(post)], "long", strings.Repeat("x", 3000))...)
			var all []*rawStream
			for range 90 {
				all = append(all, cli.open(conn.Bidi, concat(varint(frameHeaders), varint(uint64(len(long))), long[:2500]), false))
				cli.run()
			}
			for _, s := range all {
				cli.write(s, long[2500:], true)
				cli.run()
			}
		}},
		{name: "datagrams of requests", cfg: Config{Datagrams: true}, on: func(ev Event) {
			if ev.Kind == EventFields {
				ev.Stream.Datagrams()
			}
		}, fill: func(srv, cli *side) {
			for range 30 {
				cli.open(conn.Bidi, headers(post...), false)
				cli.run()
			}
			for i := range uint64(30 * maxFlowQueue) {
				_, err := cli.q.SendDatagram(append(varint(i%30), make([]byte, 1000)...), conn.DatagramOptions{})
				require.NoError(cli.t, err)
				cli.net.RunFor(rtt)
			}
		}},
		{name: "instructions that are not read", fill: func(srv, cli *side) {
			for range 600 {
				srv.h.sendInstructions(outDecoder, make([]byte, 100))
			}
		}},
	}
}

// TestAccountBoundsHeap: a client makes a server keep memory in every way. The heap grows by no
// more than one and a half times what the account of the connections says, and 200 KiB for what the
// simulation keeps. In the end nothing counts.
func TestAccountBoundsHeap(t *testing.T) {
	for _, way := range accountWays() {
		t.Run(way.name, func(t *testing.T) {
			srv, cli := connectWith(t, &way.cfg, nil, func(server, client *conn.Config) {
				server.UnsentBytes = 4096
				client.InitialMaxStreamData, client.MaxStreamData = 64, 64
			})
			srv.on = way.on
			cli.open(conn.Uni, concat(varint(streamControl), frame(frameSettings, setting(SettingDatagrams, 1)...)), false)
			cli.run()
			held := func() int64 { return srv.node.Stats().Held + cli.node.Stats().Held }
			heapBefore, before := heap(), held()
			require.GreaterOrEqual(t, srv.node.Stats().HeldBy.Above, int64(connCost))
			way.fill(srv, cli)
			cli.run()
			require.NoError(t, cli.closed)
			grown, counted := heap()-heapBefore, held()-before
			t.Logf("%d bytes of heap, %d are counted", grown, counted)
			require.LessOrEqual(t, grown, counted*3/2+200<<10)

			cli.q.Close(0, "")
			cli.net.RunFor(time.Minute)
			require.Zero(t, srv.node.Stats().Held)
		})
	}
}

// TestConnCost: an idle connection takes about what counts for it.
func TestConnCost(t *testing.T) {
	const n = 100
	_, cli := connect(t, &Config{Datagrams: true}, nil)
	all := make([]*Conn, n)
	before := heap()
	for i := range all {
		var err error
		all[i], err = NewConn(cli.q, &Config{Datagrams: true})
		require.NoError(t, err)
		all[i].enc.SetLimits(4096, 16)
		for j := range 200 {
			all[i].encodeFields(conn.StreamID(4*j), []Field{{Name: ":status", Value: "200"}, {Name: "n", Value: fmt.Sprint(j / 4)}})
		}
	}
	each := (heap() - before) / n
	t.Logf("%d bytes of heap each", each)
	require.LessOrEqual(t, each, int64(connCost+defaultQPACKEncoderCapacity)*5/4)
	require.NotNil(t, all[0])
}
