package h3

import (
	"time"

	"github.com/lazoquic/lazo/conn/conntest"
	"github.com/lazoquic/lazo/internal/script"
)

// A story is a script of a simulated run of HTTP/3 (see package internal/script): which requests a
// client makes of a server over what network, what both do with them, and how both are configured.
// Every story can be played.
type story struct {
	Seed           uint64
	Client, Server host
	Up, Down       conntest.Link
	Requests       []request
	Calls          []call
}

// A host is one side of the connection.
type host struct {
	Config   Config // what of it is plain data
	Streams  int64  // conn.Config.InitialMaxStreamsBidi
	Window   int64  // conn.Config.InitialMaxStreamData and MaxStreamData
	Unsent   int    // conn.Config.UnsentBytes
	Segments int
}

// A request is one, with its response.
type request struct {
	At          time.Duration // since the handshake is complete
	Method      string        // "" is GET; CONNECT is an extended one
	Urgency     int8
	Incremental bool
	Update      time.Duration // when the client changes the priority; 0 is never
	Interims    int
	Hasty       bool // the server releases the stream once it has sent its response
	Datagrams   int  // of each side, if the method is CONNECT
	There, Back half
}

// A half is a message: that of the request, or that of the response.
type half struct {
	Fields, Trailers []line
	Bytes            int64
	Length           bool  // content-length is stated
	Piece            int   // bytes that are written at a time; 0 is no limit
	Peek             bool  // the receiver uses Peek and Discard
	Cancel           int64 // the sender cancels after Cancel-1 bytes; 0 is never
	Stop             int64 // the receiver stops after Stop-1 bytes; 0 is never
	Both             bool  // it cancels both directions
	Pause            time.Duration
}

// A line is a field. Names and values come from a small set, so that QPACK finds them in its
// tables.
type line struct {
	Name, Value, Length int
	Sensitive           bool
}

// A call is one that a side makes on the connection.
type call struct {
	At       time.Duration
	ByServer bool
	Do       string // "goaway", "uni" for a stream of unknown type, "push" or "close"
}

// drawStory draws a story.
func drawStory(seed uint64, d *script.Draw) story {
	rtt := d.Time(100*time.Microsecond, time.Second)
	s := story{Seed: seed, Up: drawLink(d, rtt), Down: drawLink(d, rtt), Client: drawHost(d), Server: drawHost(d)}
	s.Server.Config.ExtendedConnect = d.One(2)
	if d.One(2) {
		s.Client.Config.Datagrams, s.Server.Config.Datagrams = !d.One(6), !d.One(6)
	}
	for range script.Pick(d, 1, 2, 5, 10, 30) {
		s.Requests = append(s.Requests, drawRequest(d))
	}
	for range script.Pick(d, 0, 0, 0, 1, 3) {
		do := script.Pick(d, "goaway", "goaway", "uni", "uni", "close", "push")
		s.Calls = append(s.Calls, call{At: d.Time(time.Millisecond, 3*time.Second), ByServer: do == "push" || d.One(2), Do: do})
	}
	return s
}

func drawLink(d *script.Draw, rtt time.Duration) conntest.Link {
	l := conntest.Link{
		Delay: rtt / 2, Rate: int64(d.Between(300e3, 10e9)), Queue: int(d.Between(10e3, 300e3)),
		Loss: d.Some(2, 0.06), Duplicate: d.Some(3, 0.2), Corrupt: d.Some(4, 0.03), Reorder: d.Some(3, 0.2),
	}
	if d.One(3) {
		l.Jitter = time.Duration(d.Float() * float64(rtt)).Round(time.Microsecond)
	}
	return l
}

func drawHost(d *script.Draw) host {
	h := host{Segments: script.Pick(d, 0, 1, 10), Config: Config{
		QPACKTableCapacity:   script.Pick[int64](d, 0, 4096, 200, 60, 65536),
		QPACKBlockedStreams:  script.Pick[int64](d, 0, 16, 1, 100),
		QPACKEncoderCapacity: script.Pick[int64](d, 0, 0, 100, 65536, -1),
	}}
	if d.One(4) {
		h.Config.MaxFieldSectionSize = int64(d.Between(300, 5000))
	}
	if d.One(6) {
		h.Config.MaxFields = 3 + d.N(20)
	}
	if d.One(3) {
		h.Streams = int64(1 + d.N(4))
	}
	if d.One(3) {
		h.Window = int64(d.Between(100, 20e3))
	}
	if d.One(3) {
		h.Unsent = 1 + d.N(5000)
	}
	return h
}

func drawRequest(d *script.Draw) request {
	r := request{
		Method: script.Pick(d, "", "", "POST", "POST", "HEAD", "CONNECT"), Urgency: int8(d.N(8)) - 3, Incremental: d.One(2),
		Hasty: d.One(6), There: drawHalf(d), Back: drawHalf(d),
	}
	if d.One(2) {
		r.At = d.Time(time.Millisecond, 2*time.Second)
	}
	if d.One(4) {
		r.Update = d.Time(time.Millisecond, time.Second)
	}
	if d.One(6) {
		r.Interims = 1 + d.N(4)
	}
	switch r.Method {
	case "CONNECT":
		r.Datagrams, r.There.Length, r.Back.Length = d.N(6), false, false
		r.There.Trailers, r.Back.Trailers = nil, nil
	case "HEAD":
		r.Back.Bytes, r.Back.Length, r.There.Bytes = 0, false, 0
	case "":
		r.There.Bytes = 0
	}
	return r
}

func drawHalf(d *script.Draw) half {
	h := half{Length: d.One(3), Peek: d.One(2), Fields: drawLines(d, 8)}
	if !d.One(4) {
		h.Bytes = int64(d.Between(1, 30e3))
	}
	if d.One(4) {
		h.Trailers = drawLines(d, 4)
	}
	if d.One(3) {
		h.Piece = int(d.Between(1, 5e3)) + int(h.Bytes/30)
	}
	if d.One(12) {
		h.Cancel = 1 + int64(d.Float()*float64(h.Bytes+1))
	}
	if d.One(12) {
		h.Stop = 1 + int64(d.Float()*float64(h.Bytes+1))
	}
	if h.Both = d.One(2); d.One(10) {
		h.Pause = d.Time(time.Millisecond, 300*time.Millisecond)
	}
	return h
}

func drawLines(d *script.Draw, most int) (all []line) {
	for range d.N(most) {
		l := line{Name: d.N(len(names())), Value: d.N(6), Length: d.N(40), Sensitive: d.One(10)}
		if d.One(30) {
			l.Length = d.N(3000)
		}
		all = append(all, l)
	}
	return all
}

// names are the names of fields: some are in QPACK's static table, with a value or without one.
func names() []string {
	return []string{"accept", "cookie", "user-agent", "x-a", "x-b", "x-longer-name-than-the-others", "cache-control", "etag", "vary", "referer"}
}
