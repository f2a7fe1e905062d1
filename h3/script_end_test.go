package h3

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/lazoquic/lazo/conn"
)

// An end is one side's part in a request.
type end struct {
	a       *actor
	t       *tale
	s       *Stream
	id      conn.StreamID
	out, in *half
	other   int // index of the other end

	stage         stage
	interims      int // sent, or received
	written, read int64
	ended         bool // all was sent, and its end
	head, tail    bool // sections that came
	sent, got     bool // nothing is left to send, or to receive
	paused, gone  bool

	out2 int // datagrams that were sent
	seen map[byte]bool
}

// A stage is what is to be sent next.
type stage int

const (
	stageInterims stage = iota
	stageHead
	stageBody
	stageTrailers
)

func newEnd(a *actor, t *tale, s *Stream) *end {
	x := &end{a: a, t: t, s: s, id: s.ID(), out: &t.plan.There, in: &t.plan.Back, other: 1, stage: stageBody, seen: make(map[byte]bool)}
	if a.isServer {
		x.out, x.in, x.other = x.in, x.out, 0
	}
	s.UserData = x
	t.ends[1-x.other] = x
	return x
}

func (x *end) fail(format string, args ...any) {
	x.a.p.fail("request", "request %d, server %v: "+format, append([]any{x.t.n, x.a.isServer}, args...)...)
}

// open makes a request, now or when there may be more of them.
func (a *actor) open(t *tale) {
	fields := requestFields(t)
	s, err := a.h.OpenRequest(fields, false)
	limit := a.p.Server.Config
	large := tooLarge(fields, &limit)
	t.excused = t.excused || large // the settings may not be known yet
	switch {
	case err == nil:
		x := newEnd(a, t, s)
		if u := t.plan.Update; u > 0 {
			a.p.after(u, func() {
				if !x.gone {
					s.RequestPriority(updated(conn.Priority{Urgency: t.plan.Urgency, Incremental: t.plan.Incremental}))
				}
			})
		}
		x.send()
	case errors.Is(err, conn.ErrStreamLimit):
		a.waiting = append(a.waiting, t)
	case errors.Is(err, ErrNoExtendedConnect) && a.h.PeerSettings() == nil:
		a.waiting = append(a.waiting, t)
	case errors.Is(err, ErrNoExtendedConnect) && !a.p.Server.Config.ExtendedConnect,
		errors.Is(err, ErrGoAway) && a.h.goAway != noID,
		errors.Is(err, ErrFieldsTooLarge) && large, a.over:
		t.done = true
	default:
		a.p.fail("request", "request %d cannot be made: %v", t.n, err)
	}
}

// tooLarge reports whether a section exceeds the limits of who receives it.
func tooLarge(fields []Field, limits *Config) bool {
	cfg, _ := limits.withDefaults()
	ordinary := 0
	for _, f := range fields {
		if f.Name[0] != ':' {
			ordinary++
		}
	}
	return fieldsSize(fields) > uint64(cfg.MaxFieldSectionSize) || ordinary > cfg.MaxFields
}

// requestFields returns the fields of a request.
func requestFields(t *tale) []Field {
	r := t.plan
	method := r.Method
	if method == "" {
		method = "GET"
	}
	fields := []Field{{Name: ":method", Value: method}}
	if method == "CONNECT" {
		fields = append(fields, Field{Name: ":protocol", Value: "sim"})
	}
	fields = append(fields, Field{Name: ":scheme", Value: "https"}, Field{Name: ":authority", Value: "lazo.test"},
		Field{Name: ":path", Value: "/" + strconv.Itoa(t.n)})
	if r.Urgency != 0 || r.Incremental {
		p := conn.Priority{Urgency: r.Urgency, Incremental: r.Incremental}
		fields = append(fields, Field{Name: "priority", Value: string(appendPriority(nil, p))})
	}
	return r.There.appendFields(fields)
}

// responseFields returns the fields of a response.
func responseFields(r *request) []Field {
	return r.Back.appendFields([]Field{{Name: ":status", Value: "200"}})
}

func (h *half) appendFields(fields []Field) []Field {
	if h.Length {
		fields = append(fields, Field{Name: "content-length", Value: strconv.FormatInt(h.Bytes, 10)})
	}
	return append(fields, lines(h.Fields)...)
}

// lines returns the fields that are described.
func lines(all []line) (fields []Field) {
	for _, l := range all {
		value := strings.Repeat(string(rune('a'+l.Value%26)), max(l.Length, 0)+1)
		fields = append(fields, Field{Name: names()[l.Name%len(names())], Value: value, Sensitive: l.Sensitive})
	}
	return fields
}

// section takes a field section.
func (x *end) section(ev Event) {
	want := responseFields(x.t.plan)
	if x.a.isServer {
		want = requestFields(x.t)
	}
	switch {
	case x.got:
		return // it was given up
	case !x.a.isServer && ev.Fields[0].Value == "103":
		if x.interims++; x.head || x.interims > x.t.plan.Interims {
			x.fail("interim response %d of %d", x.interims, x.t.plan.Interims)
		}
		return
	case !x.a.isServer && !x.head && ev.Fields[0].Value == "431" && x.t.excused:
		x.s.Cancel(RequestCancelled)
		x.sent, x.got = true, true
		x.release()
		return
	case x.head:
		if x.tail || len(x.in.Trailers) == 0 || x.read != x.in.Bytes {
			x.fail("trailers behind %d bytes of %d: %v", x.read, x.in.Bytes, ev.Fields)
		}
		x.tail, want = true, lines(x.in.Trailers)
	}
	if x.head = true; !sameFields(ev.Fields, want) {
		x.fail("got the fields %v, want %v", ev.Fields, want)
	}
	if ev.End {
		if o := x.t.ends[x.other]; !o.ended || x.read != o.written || !x.tail && len(x.in.Trailers) > 0 {
			x.fail("the message ends with its fields")
		}
		x.got = true
		x.release()
		return
	}
	x.receive()
}

// sameFields compares two sections. Whether a field is sensitive arrives, too.
func sameFields(got, want []Field) bool { return slices.Equal(got, want) }

// send sends what there is room for.
func (x *end) send() {
	for !x.sent && !x.gone {
		var err error
		switch x.stage {
		case stageInterims:
			if x.interims >= x.t.plan.Interims {
				x.stage++
				continue
			}
			if err = x.s.SendFields([]Field{{Name: ":status", Value: "103"}, {Name: "link", Value: "</a>"}}, false); err == nil {
				x.interims++
			}
		case stageHead:
			x.warn(responseFields(x.t.plan))
			if err = x.s.SendFields(responseFields(x.t.plan), false); err == nil {
				x.stage++
			}
		case stageBody:
			err = x.sendBody()
		case stageTrailers:
			if x.ended = true; len(x.out.Trailers) > 0 {
				err = x.s.SendFields(lines(x.out.Trailers), true)
			} else {
				err = x.s.CloseWrite()
			}
			x.ended = err == nil
			x.sent = x.ended
		}
		if err != nil && !x.mayFail(err) {
			return
		}
	}
	x.release()
}

// mayFail reports whether sending has ended with the error. Otherwise it goes on later.
func (x *end) mayFail(err error) bool {
	var stopped *conn.StreamError
	switch {
	case errors.Is(err, conn.ErrWouldBlock):
		return false
	case errors.Is(err, ErrFieldsTooLarge):
		section, limit := responseFields(x.t.plan), x.a.p.Client.Config
		if !x.a.isServer {
			limit = x.a.p.Server.Config
		}
		if x.stage == stageTrailers {
			section = lines(x.out.Trailers)
		}
		if !tooLarge(section, &limit) {
			x.fail("fields are refused, and are not too large")
		}
		x.cancel(true, InternalError)
	case errors.As(err, &stopped) && x.t.excused, x.a.h.QUIC().Err() != nil:
		x.sent = true
	default:
		x.fail("sending at %d of %d, stage %d: %v", x.written, x.out.Bytes, x.stage, err)
	}
	return true
}

// sendBody sends a piece of the body.
func (x *end) sendBody() error {
	if x.written == 0 {
		x.sendDatagrams()
	}
	h := x.out
	if h.Cancel > 0 && x.written >= h.Cancel-1 {
		x.cancel(h.Both, RequestCancelled)
		return nil
	}
	left := h.Bytes - x.written
	if left <= 0 {
		x.stage++
		x.warn(lines(x.out.Trailers))
		return nil
	}
	if h.Cancel > 0 {
		left = min(left, h.Cancel-1-x.written)
	}
	if h.Piece > 0 {
		left = min(left, int64(h.Piece))
	}
	b := make([]byte, left)
	pattern(b, x.key(1-x.other), x.written)
	n, err := x.s.Write(b)
	x.written += int64(n)
	return err
}

// warn excuses a request if the other side refuses a section, which it may not have said yet.
func (x *end) warn(section []Field) {
	limit := x.a.p.Client.Config
	if !x.a.isServer {
		limit = x.a.p.Server.Config
	}
	x.t.excused = x.t.excused || tooLarge(section, &limit)
}

// cancel gives up sending, or both directions.
func (x *end) cancel(both bool, code ErrorCode) {
	x.t.excused, x.sent = true, true
	if both {
		x.got = true
		x.s.Cancel(code)
	} else {
		x.s.Reset(code)
	}
}

// receive reads what has come, unless the reader pauses.
func (x *end) receive() {
	for !x.got && !x.gone && !x.paused && x.head {
		h := x.in
		if h.Stop > 0 && x.read >= h.Stop-1 {
			x.t.excused, x.got = true, true
			if h.Both {
				x.sent = true
				x.s.Cancel(RequestCancelled)
			} else {
				x.s.StopSending(RequestCancelled)
			}
			break
		}
		n, err := x.readPiece()
		x.read += int64(n)
		o := x.t.ends[x.other]
		var reset *conn.StreamError
		switch {
		case x.read > o.written:
			x.fail("%d bytes came, %d were written", x.read, o.written)
		case err == io.EOF:
			if !o.ended || x.read != o.written || x.tail != (len(h.Trailers) > 0) {
				x.fail("the message ends at %d of %d, trailers %v", x.read, o.written, x.tail)
			}
			x.got = true
		case errors.Is(err, conn.ErrWouldBlock):
			return
		case errors.As(err, &reset) && x.t.excused, err != nil && x.a.h.QUIC().Err() != nil:
			x.got = true
		case err != nil:
			x.fail("receiving at %d of %d: %v", x.read, h.Bytes, err)
		case h.Pause > 0:
			x.pause(h.Pause)
		}
	}
	x.release()
}

func (x *end) pause(d time.Duration) {
	x.paused = true
	x.a.p.after(d, func() {
		if x.paused = false; !x.gone {
			x.receive()
			x.a.drain()
		}
	})
}

// readPiece reads once, and compares what came.
func (x *end) readPiece() (n int, err error) {
	var b []byte
	if x.in.Peek {
		b, err = x.s.Peek(1 + x.t.n*97%700)
		defer x.s.Discard(len(b))
	} else {
		b = make([]byte, 4096)
		if x.in.Pause > 0 {
			b = b[:min(len(b), int(x.in.Bytes/8)+1)]
		}
		n, err = x.s.Read(b)
		b = b[:n]
	}
	want := make([]byte, len(b))
	pattern(want, x.key(x.other), x.read)
	if !bytes.Equal(b, want) {
		x.fail("bytes %d to %d are wrong", x.read, x.read+int64(len(b)))
	}
	if len(b) > 0 && x.in.Peek {
		err = nil // Peek returns what Read would return behind these bytes
	}
	return len(b), err
}

// key tells bodies apart.
func (x *end) key(i int) int64 { return int64(x.t.n*2+i)*251 + 17 }

// pattern fills b with the bytes of a body from an offset on.
func pattern(b []byte, key, off int64) {
	for i := range b {
		v := uint64(off+int64(i)+key) * 0x9e3779b97f4a7c15
		b[i] = byte(v >> 56)
	}
}

// canceled takes the news that the other side has given up.
func (x *end) canceled(ev Event) {
	if !x.t.excused && ev.Code != RequestRejected {
		x.fail("canceled with %v, %v, and nobody has", ev.Code, ev.Err)
	}
	if x.t.excused = true; ev.Code == RequestRejected {
		if x.t.ends[1] != nil && !x.a.isServer {
			x.fail("rejected, and the server has seen it")
		}
		x.sent, x.got = true, true
	}
	if ev.Err != nil {
		x.sent, x.got = true, true // a rule of messages: both directions have ended
	}
	x.send()
	if !x.head && !x.got && !x.gone { // the response will not come
		if _, err := x.s.Read(make([]byte, 1)); err != nil && !errors.Is(err, conn.ErrWouldBlock) {
			x.got = true
		}
	}
	x.receive()
}

// release gives the stream back once both directions are done.
func (x *end) release() {
	hasty := x.a.isServer && x.t.plan.Hasty && x.sent
	if x.gone || !x.sent || !x.got && !hasty {
		return
	}
	if !x.got {
		x.t.excused = true
	}
	x.gone, x.s.UserData = true, nil
	x.s.Release()
	if x.s.released {
		x.a.leaving = append(x.a.leaving, x.s)
	}
}

// sendDatagrams sends the datagrams of an extended CONNECT.
func (x *end) sendDatagrams() {
	if x.t.plan.Method != "CONNECT" || x.out2 > 0 {
		return
	}
	f := x.s.Datagrams()
	for ; f != nil && x.out2 < x.t.plan.Datagrams; x.out2++ {
		f.Send([]byte{byte(x.t.n), byte(1 - x.other), byte(x.out2)}, conn.DatagramOptions{})
	}
}

// datagrams takes datagrams. Each was sent for this request, and comes once.
func (x *end) datagrams() {
	f := x.s.Datagrams()
	for b, ok := f.Receive(); ok; b, ok = f.Receive() {
		o := x.t.ends[x.other]
		if len(b) != 3 || b[0] != byte(x.t.n) || b[1] != byte(x.other) || int(b[2]) >= o.out2 || x.seen[b[2]] {
			x.fail("a datagram is wrong, or comes twice: %v", b)
		}
		x.seen[b[2]] = true
	}
}
