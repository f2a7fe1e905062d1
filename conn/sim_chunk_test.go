package conn_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/conntest"
)

// A chunkRun sends a stream whose chunks are handed over at both ends without a copy.
type chunkRun struct {
	t            *testing.T
	n            *simulation
	data         []byte // to be sent
	sent, got    int
	given, taken int // chunks
	spare, mine  *conn.Chunk
	in, out      *conn.Stream
}

// write writes as much as it can. It writes the first bytes with Write, so that later data does not
// begin at the start of a chunk.
func (r *chunkRun) write() {
	for s := r.out; r.sent < len(r.data); {
		rest := r.data[r.sent:]
		if len(rest) >= len(r.mine) {
			copy(r.mine[:], rest)
			if spare := s.WriteChunk(r.mine); spare != nil {
				clear(spare[:])
				r.mine = spare
				r.sent += len(spare)
				r.given++
				continue
			}
		}
		room := max(1, -r.sent&(len(r.mine)-1))
		n, err := s.Write(rest[:min(room, len(rest))])
		r.sent += n
		if errors.Is(err, conn.ErrWouldBlock) {
			return
		}
		if err != nil {
			r.t.Fatal(err)
		}
	}
	if err := r.out.CloseWrite(); err != nil {
		r.t.Fatal(err)
	}
}

// read reads everything that is there.
func (r *chunkRun) read(take func([]byte)) {
	for s := r.in; ; {
		if c, from := s.TakeChunk(r.spare); c != nil {
			take(c[from:])
			clear(c[:])
			r.spare = c
			r.taken++
			continue
		}
		b, err := s.Peek(1)
		take(b)
		s.Discard(len(b))
		if err == io.EOF {
			s.Release()
		}
		if err != nil {
			return
		}
	}
}

// TestChunksOfStreams: streams whose chunks are handed over arrive whole. The network loses and
// reorders, and the windows are smaller than the streams. In the end all memory is given back.
func TestChunksOfStreams(t *testing.T) {
	rnd := conntest.Seed(t, 1)
	r := &chunkRun{t: t, n: simulate(t, 1), spare: new(conn.Chunk), mine: new(conn.Chunk), data: make([]byte, 3<<20+77)}
	io.ReadFull(rnd, r.data)
	r.n.Default = conntest.Link{Delay: 10 * time.Millisecond, Loss: 0.02, Reorder: 0.05}
	cfg := conntest.ServerConfig()
	cfg.InitialMaxStreamData, cfg.InitialMaxData = 100_000, 150_000
	server := r.n.Add("10.0.0.1:443", &conn.EndpointConfig{Server: cfg, Rand: conntest.Seed(t, 2)})
	client := r.n.Add("10.0.0.2:5000", &conn.EndpointConfig{Rand: conntest.Seed(t, 3)})
	hash := sha256.New()
	server.OnEvent = func(_ time.Time, ev conn.Event) {
		if ev.Kind == conn.EventStreamReadable {
			r.in = ev.Stream
			r.read(func(b []byte) { hash.Write(b); r.got += len(b) })
		}
	}
	acked := false
	client.OnEvent = func(_ time.Time, ev conn.Event) {
		switch ev.Kind {
		case conn.EventConnected:
			r.out, _ = ev.Conn.OpenStream(conn.Uni)
			r.write()
		case conn.EventStreamWritable:
			r.write()
		case conn.EventStreamAcked:
			acked = true
			ev.Stream.Release()
		}
	}
	if _, err := client.Dial(r.n.Now(), conn.Target{Remote: server.Addr}, conntest.ClientConfig()); err != nil {
		t.Fatal(err)
	}
	r.n.RunUntil(time.Minute, func() bool { return acked && r.got == len(r.data) })
	if want := sha256.Sum256(r.data); !bytes.Equal(hash.Sum(nil), want[:]) {
		t.Fatalf("%d of %d bytes arrived, or others", r.got, len(r.data))
	}
	if r.given < 300 || r.taken < 50 {
		t.Errorf("only %d chunks were given, and %d taken", r.given, r.taken)
	}
	for _, n := range []*conntest.Node{client, server} {
		if used := n.Endpoint.Stats().Buffered; used != 0 {
			t.Errorf("%d bytes are still held", used)
		}
	}
}
