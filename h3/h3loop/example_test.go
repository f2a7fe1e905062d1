package h3loop_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/conntest"
	"github.com/lazoquic/lazo/h3"
	"github.com/lazoquic/lazo/h3/h3http"
	"github.com/lazoquic/lazo/h3/h3loop"
	"github.com/lazoquic/lazo/loop"
)

// These field sections never change: no request makes one.
var (
	okText   = []h3.Field{{Name: ":status", Value: "200"}, {Name: "content-type", Value: "text/plain"}}
	notFound = []h3.Field{{Name: ":status", Value: "404"}}
)

// pages are what the server of the examples has in memory.
var pages = map[string][]byte{"/": []byte("hello\n"), "/about": []byte("served on the loop\n")}

// servePage answers on the loop, from memory. In a real program the TLS configuration has a
// certificate, and the address is ":443".
func servePage(r *h3loop.Request) {
	page, ok := pages[r.Path()]
	switch {
	case r.Method() == http.MethodPost:
		r.Follow(new(lineCount))
	case ok:
		r.Respond(okText, page)
	default:
		r.Respond(notFound, nil)
	}
}

// A lineCount counts the lines of a request body. It is the state of one request.
type lineCount int

// HandleEvent is part of [h3loop.Follower].
func (n *lineCount) HandleEvent(r *h3loop.Request, ev h3.Event) {
	if ev.Kind != h3.EventReadable {
		return
	}
	for {
		b, err := r.Peek(1)
		*n += lineCount(bytes.Count(b, []byte("\n")))
		r.Discard(len(b))
		switch {
		case err == nil:
		case errors.Is(err, conn.ErrWouldBlock):
			return // another event follows
		case errors.Is(err, io.EOF):
			r.Respond(okText, strconv.AppendInt(nil, int64(*n), 10))
			return
		default:
			r.Reset(h3.InternalError)
			return
		}
	}
}

// A server answers from memory, without a goroutine for a request, and a client of net/http asks.
func Example() {
	srv := &h3loop.Server{Handler: servePage}
	g, err := loop.Listen("udp", "127.0.0.1:0", 1, srv.LoopConfig(&conn.Config{TLS: conntest.ServerTLS()}))
	if err != nil {
		log.Fatal(err)
	}
	defer g.Close()

	tr := &h3http.Transport{TLSClientConfig: conntest.ClientTLS()}
	client := &http.Client{Transport: tr}
	url := "https://" + g.LocalAddr().String()
	for _, path := range []string{"/about", "/missing"} {
		resp, err := client.Get(url + path)
		if err != nil {
			log.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		fmt.Printf("%s %q\n", resp.Status, body)
	}
	resp, err := client.Post(url, "text/plain", strings.NewReader("one\ntwo\nthree\n"))
	if err != nil {
		log.Fatal(err)
	}
	body, _ := io.ReadAll(resp.Body)
	fmt.Printf("%s %q\n", resp.Status, body)

	tr.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	fmt.Println(srv.Shutdown(ctx))
	// Output:
	// 200 OK "served on the loop\n"
	// 404 Not Found ""
	// 200 OK "3"
	// <nil>
}

// A question is a request whose answer comes from a goroutine.
type question struct{ r *h3loop.Request }

// HandleEvent is part of [h3loop.Follower]. The last event means that nobody waits any more.
func (q *question) HandleEvent(_ *h3loop.Request, ev h3.Event) {
	switch ev.Kind {
	case h3.EventAcked, h3.EventCanceled, h3.EventClosed:
		q.r = nil
	}
}

// What may block runs in a goroutine, which posts the answer to the loop.
func ExampleRequest_Follow() {
	lookUp := func(path string) []byte { return []byte("slow " + path) } // a database, for example
	srv := &h3loop.Server{Handler: func(r *h3loop.Request) {
		q, l, path := &question{r}, r.Loop(), r.Path()
		r.Follow(q)
		go func() {
			answer := lookUp(path)
			l.Post(func(time.Time) {
				if q.r != nil {
					q.r.Respond(okText, answer)
				}
			})
		}()
	}}
	g, err := loop.Listen("udp", "127.0.0.1:0", 1, srv.LoopConfig(&conn.Config{TLS: conntest.ServerTLS()}))
	if err != nil {
		log.Fatal(err)
	}
	defer g.Close()
	tr := &h3http.Transport{TLSClientConfig: conntest.ClientTLS()}
	defer tr.Close()
	resp, err := (&http.Client{Transport: tr}).Get("https://" + g.LocalAddr().String() + "/page")
	if err != nil {
		log.Fatal(err)
	}
	body, _ := io.ReadAll(resp.Body)
	fmt.Printf("%s\n", body)
	// Output: slow /page
}
