package loop_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/conntest"
	"github.com/lazoquic/lazo/loop"
	"github.com/lazoquic/lazo/loop/looptest"
)

// A tape is a recording in memory. The Loop writes to it until it closes it.
type tape struct {
	bytes.Buffer
	closed chan struct{}
}

func newTape() *tape { return &tape{closed: make(chan struct{})} }

func (f *tape) Close() error {
	close(f.closed)
	return nil
}

// TestRecording: what a client and a server did on real sockets, with crypto/tls and random numbers
// of the system, replays datagram by datagram.
func TestRecording(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	tapes := map[string]*tape{"client": newTape(), "server": newTape()}
	config := func(name string) *loop.Config {
		return &loop.Config{Record: func(int) (io.WriteCloser, error) { return tapes[name], nil }}
	}
	cfg := config("server")
	cfg.Endpoint.Server = conntest.ServerConfig()
	server, err := loop.Listen("udp", "127.0.0.1:0", 1, cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	client, err := loop.Open("udp", "127.0.0.1:0", 1, config("client"))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()

	done := make(chan error, 1)
	go func() { done <- answerTwice(ctx, server) }()
	c, err := client.Dial(ctx, server.LocalAddr().String(), conntest.ClientConfig())
	if err != nil {
		t.Fatal(err)
	}
	want := bytes.Repeat([]byte("lazo"), 300_000)
	s, err := c.OpenStream(ctx, conn.Bidi)
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		s.Write(want)
		s.CloseWrite()
	}()
	got, err := io.ReadAll(s)
	if err != nil || !bytes.Equal(got, append(want, want...)) {
		t.Fatalf("%d bytes, %v", len(got), err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	c.Close(0, "")
	client.Close()
	server.Close()

	for name, tape := range tapes {
		<-tape.closed
		if tape.Len() < len(want) {
			t.Errorf("%s: the recording has %d bytes only", name, tape.Len())
		}
		r, err := conn.NewReplay(tape, nil)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if err := r.Run(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if s := r.Endpoint().Stats(); s.Connected != 1 || s.BytesSent < uint64(len(want)) {
			t.Errorf("%s: the replay has sent %d bytes on %d connections", name, s.BytesSent, s.Connected)
		}
	}
}

// answerTwice answers the first stream of the first connection with what came, two times.
func answerTwice(ctx context.Context, g *loop.Group) error {
	c, err := g.Accept(ctx)
	if err != nil {
		return err
	}
	s, err := c.AcceptStream(ctx)
	if err != nil {
		return err
	}
	b, err := io.ReadAll(s)
	if err != nil {
		return err
	}
	if _, err := s.Write(append(b, b...)); err != nil {
		return err
	}
	return s.CloseWrite()
}

// TestRecordingFails: a Group does not begin without the recording that it is to make, and closes
// those that it has begun.
func TestRecordingFails(t *testing.T) {
	full := errors.New("no space left")
	first := newTape()
	_, err := loop.Open("udp", "127.0.0.1:0", 2, &loop.Config{Record: func(i int) (io.WriteCloser, error) {
		if i == 1 {
			return nil, full
		}
		return first, nil
	}})
	if !errors.Is(err, full) {
		t.Errorf("Listen returned %v", err)
	}
	select {
	case <-first.closed:
	default:
		t.Error("the first recording is open")
	}
}

// TestRecordingIsOfOneLoop: two Loops do not write into one recording.
func TestRecordingIsOfOneLoop(t *testing.T) {
	for n := 1; n <= 2; n++ {
		cfg := &loop.Config{Endpoint: conn.EndpointConfig{Record: new(bytes.Buffer)}}
		g, err := loop.Open("udp", "127.0.0.1:0", n, cfg)
		if (err != nil) != (n > 1) {
			t.Errorf("%d Loops: %v", n, err)
		}
		if err == nil {
			g.Close()
		}
	}
}

// A fullDisk takes some bytes, and then fails.
type fullDisk struct {
	left   int
	closes error
}

func (d *fullDisk) Write(b []byte) (int, error) {
	if len(b) > d.left {
		return 0, errors.New("no space left")
	}
	d.left -= len(b)
	return len(b), nil
}

func (d *fullDisk) Close() error { return d.closes }

// TestRecordingIsNotWhole: a recording that could not be written, or not closed, gives one line of
// the log.
func TestRecordingIsNotWhole(t *testing.T) {
	for name, c := range map[string]struct {
		disk  fullDisk
		lines int
	}{
		"no space left": {fullDisk{}, 1},
		"late error":    {fullDisk{left: 1 << 20, closes: errors.New("late error")}, 1},
		"fine":          {fullDisk{left: 1 << 20}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log record
				g, err := loop.New(&loop.Config{
					Logger: slog.New(slog.NewTextHandler(&log, nil)),
					Record: func(int) (io.WriteCloser, error) { return &c.disk, nil },
				}, looptest.New(t, 1, conntest.Link{}).Listen(clientAddr))
				if err != nil {
					t.Fatal(err)
				}
				g.Close()
				if n := strings.Count(log.b.String(), "recording is not whole"); n != c.lines {
					t.Errorf("%d lines: %s", n, log.b.String())
				}
			})
		})
	}
}
