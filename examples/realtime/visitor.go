package main

import (
	"bytes"
	"context"
	"net/http"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/examples/realtime/internal/world"
	"github.com/lazoquic/lazo/h3/webtransport"
	"github.com/lazoquic/lazo/loop"
)

// A visitor is a player whose page has a session of WebTransport. Goroutines read from it and write
// to it. What they have to do with the world they do on the loop.
type visitor struct {
	r      *realm
	l      *loop.Loop
	wt     *webtransport.Session
	s      *world.Session
	newest chan []byte // the snapshot that waits to be sent
	voice  chan []byte
}

// visits serves sessions at /play.
func (r *realm) visits(up *webtransport.Upgrader) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/play", func(w http.ResponseWriter, req *http.Request) {
		wt, err := up.Upgrade(w, req)
		if err != nil {
			return // and the client was told
		}
		v := &visitor{r: r, l: wt.Conn().Loop(), wt: wt, newest: make(chan []byte, 1), voice: make(chan []byte, 16)}
		v.serve(wt.Context())
	})
	return mux
}

// serve returns when the session has ended.
func (v *visitor) serve(ctx context.Context) {
	err := v.l.Do(ctx, func(time.Time) {
		v.s = v.r.w.Connect()
		v.r.add(v)
	})
	if err != nil {
		v.wt.Close()
		return
	}
	defer v.l.Post(func(time.Time) { v.r.remove(v) })
	go v.sendDatagrams(ctx)
	go v.receiveDatagrams(ctx)
	for {
		st, err := v.wt.AcceptStream(ctx, conn.Bidi)
		if err != nil {
			return
		}
		go v.serveStream(ctx, st)
	}
}

// sendDatagrams sends snapshots and voice until the session ends.
func (v *visitor) sendDatagrams(ctx context.Context) {
	for {
		select {
		case b := <-v.newest:
			// What cannot be sent before the next one would be old.
			v.wt.SendDatagram(ctx, b, world.Tick)
		case b := <-v.voice:
			v.wt.SendDatagram(ctx, b, voiceAge)
		case <-ctx.Done():
			return
		}
	}
}

// receiveDatagrams gives the world what comes, until the session ends.
func (v *visitor) receiveDatagrams(ctx context.Context) {
	buf := make([]byte, 1500)
	for {
		n, err := v.wt.ReceiveDatagram(ctx, buf)
		if err != nil {
			return
		}
		err = v.l.Do(ctx, func(now time.Time) {
			v.s.Datagram(now, buf[:n])
			v.r.settle()
		})
		if err != nil {
			return
		}
	}
}

// serveStream serves one stream, until either side ends it.
func (v *visitor) serveStream(ctx context.Context, st *webtransport.Stream) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer st.Close()
	more := make(chan struct{}, 1)
	var ch *world.Channel
	err := v.l.Do(ctx, func(time.Time) {
		ch = v.s.Open()
		ch.UserData = more
	})
	if err != nil {
		return
	}
	defer v.l.Post(func(time.Time) { ch.Close() })
	go v.write(ctx, st, ch, more)
	buf := make([]byte, 2048)
	for {
		n, err := st.Read(buf)
		do := v.l.Do(ctx, func(now time.Time) {
			ch.Receive(now, buf[:n])
			v.r.settle()
		})
		if err != nil || do != nil {
			return
		}
	}
}

// write sends what waits in a channel each time that there is more of it. While the stream takes
// nothing, the channel keeps it, up to its bound.
func (v *visitor) write(ctx context.Context, st *webtransport.Stream, ch *world.Channel, more <-chan struct{}) {
	for {
		select {
		case <-more:
		case <-ctx.Done():
			return
		}
		var b []byte
		err := v.l.Do(ctx, func(time.Time) {
			b = bytes.Clone(ch.Unsent())
			ch.Sent(len(b))
		})
		if err != nil {
			return
		}
		if _, err := st.Write(b); err != nil {
			return
		}
	}
}

func (v *visitor) session() *world.Session { return v.s }

func (v *visitor) snapshot(now time.Time) {
	b := v.s.Snapshot(now, nil)
	if len(b) == 0 {
		return
	}
	select {
	case <-v.newest: // it is older
	default:
	}
	v.newest <- b // there is room, as nobody else puts anything there
}

func (v *visitor) flush() {
	if err := v.s.Err(); err != nil {
		// Not here: it may wait for the loop.
		go v.wt.CloseWithError(codeOf(err), err.Error())
		return
	}
	for _, f := range v.s.Frames() {
		select {
		case v.voice <- f:
		default: // the frame is lost
		}
	}
	v.s.Channels(func(ch *world.Channel) {
		if len(ch.Unsent()) == 0 {
			return
		}
		select {
		case ch.UserData.(chan struct{}) <- struct{}{}:
		default: // the writer knows already
		}
	})
}

func (v *visitor) end() { go v.wt.CloseWithError(codeEnd, "the server ends") }
