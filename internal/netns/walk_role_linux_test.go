package netns

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/conntest"
	"github.com/lazoquic/lazo/h3/h3http"
	"github.com/lazoquic/lazo/loop"
)

// endless is what a download brings, without end.
func endless() io.Reader { return rand.NewChaCha8([32]byte{3}) }

// serveWalker serves HTTP/3 with multipath until the process is killed: a download without end, and
// a WebSocket that echoes.
func serveWalker() error {
	srv := &h3http.Server{
		TLSConfig:       conntest.ServerTLS(),
		QUICConfig:      &conn.Config{MaxPaths: 4},
		ExtendedConnect: true,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get(":protocol") == "websocket" {
				echoWebSocket(w)
				return
			}
			io.Copy(w, endless())
		}),
	}
	g, err := loop.Listen("udp", "0.0.0.0:4433", 1, srv.LoopConfig())
	if err != nil {
		return err
	}
	fmt.Println("ready")
	return g.Wait()
}

// A walker is a client with a download and a WebSocket in one connection.
type walker struct {
	c    *loop.Conn
	chat *h3http.Stream
	read atomic.Int64 // bytes of the download
	err  chan error   // of the download
}

// walk does what the lines on its standard input say, until there are no more.
func walk(ctx context.Context) error {
	tr := &h3http.Transport{
		TLSClientConfig: conntest.ClientTLS(),
		Multipath:       loop.Multipath{MaxPaths: 4},
	}
	defer tr.Close()
	url := "https://" + walkServer + ":4433/"
	r, err := http.NewRequestWithContext(ctx, http.MethodConnect, url, nil)
	if err != nil {
		return err
	}
	r.Header[":protocol"] = []string{"websocket"}
	w := &walker{err: make(chan error, 1)}
	if w.chat, _, err = tr.Connect(r); err != nil {
		return err
	}
	resp, err := (&http.Client{Transport: tr}).Get(url)
	if err != nil {
		return err
	}
	w.c = h3http.ConnOf(resp.Request)
	go func() { w.err <- w.download(resp.Body) }()
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		command, rest, _ := strings.Cut(in.Text(), " ")
		switch command {
		case "go":
			err = w.goOn(ctx)
		case "paths":
			err = w.awaitPaths(ctx, strings.Fields(rest))
		}
		if err != nil {
			return fmt.Errorf("%s: %w; %+v", in.Text(), err, w.c.Paths())
		}
		fmt.Println("did", in.Text())
	}
	return nil
}

// download reads the download, and checks every byte.
func (w *walker) download(body io.Reader) error {
	want, got, source := make([]byte, 16<<10), make([]byte, 16<<10), endless()
	for {
		n, err := body.Read(got)
		io.ReadFull(source, want[:n])
		if !bytes.Equal(got[:n], want[:n]) {
			return errors.New("the download differs")
		}
		w.read.Add(int64(n))
		if err != nil {
			return err
		}
	}
}

// goOn returns when the WebSocket has echoed a message and the download has brought some more.
func (w *walker) goOn(ctx context.Context) error {
	until := w.read.Load() + 500_000
	if err := chat(w.chat, fmt.Sprint("message ", until)); err != nil {
		return err
	}
	for w.read.Load() < until {
		select {
		case err := <-w.err:
			return fmt.Errorf("the download has ended: %w", err)
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(5 * time.Millisecond):
		}
	}
	return nil
}

// awaitPaths returns when the connection has validated paths from the addresses, one each, and no
// other paths.
func (w *walker) awaitPaths(ctx context.Context, addrs []string) error {
	for {
		paths, found := w.c.Paths(), 0
		for _, a := range addrs {
			for _, p := range paths {
				if p.Validated && !p.Silent && p.Local.Addr() == netip.MustParseAddr(a) {
					found++
				}
			}
		}
		if found == len(addrs) && found == len(paths) {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// chat sends a message on a WebSocket over HTTP/3 (RFC 9220) and reads its echo. Both are one frame
// of text (RFC 6455, Section 5.2), of less than 126 bytes.
func chat(s io.ReadWriter, text string) error {
	mask := binary.BigEndian.AppendUint32(nil, rand.Uint32())
	frame := append([]byte{0x81, 0x80 | byte(len(text))}, mask...)
	for i := range len(text) {
		frame = append(frame, text[i]^mask[i%4])
	}
	if _, err := s.Write(frame); err != nil {
		return err
	}
	got := make([]byte, 2+len(text))
	if _, err := io.ReadFull(s, got); err != nil {
		return err
	}
	if want := "\x81" + string(rune(len(text))) + text; string(got) != want {
		return fmt.Errorf("the WebSocket answered %q, want %q", got, want)
	}
	return nil
}

// echoWebSocket answers the frames of chat.
func echoWebSocket(w http.ResponseWriter) {
	s, err := h3http.TakeStream(w)
	if err != nil {
		return
	}
	defer s.Close()
	for head := make([]byte, 6); ; {
		if _, err := io.ReadFull(s, head); err != nil || head[0] != 0x81 || head[1] < 0x80 {
			return
		}
		frame := make([]byte, 2+head[1]&0x7f)
		frame[0], frame[1] = 0x81, head[1]&0x7f
		text := frame[2:]
		if _, err := io.ReadFull(s, text); err != nil {
			return
		}
		for i := range text {
			text[i] ^= head[2+i%4]
		}
		if _, err := s.Write(frame); err != nil {
			return
		}
	}
}
