package h3

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/internal/require"
	"github.com/lazoquic/lazo/internal/wire"
)

// A rule is what a scripted peer sends, and the reaction that the other side must show.
type rule struct {
	name    string
	control []byte   // its control stream; nil for one with empty SETTINGS
	uni     [][]byte // more unidirectional streams
	fin     int      // the index of one of them, from 1, that ends
	request []byte   // a request, or its response
	end     bool     // and its end
	table   int64    // QPACKTableCapacity of the other side

	conn   ErrorCode // the connection is closed with it
	stream ErrorCode // the request is canceled with it
}

// settings is a control stream that begins as it should, followed by frames.
func settings(frames ...[]byte) []byte {
	return concat(varint(streamControl), frame(frameSettings), concat(frames...))
}

func setting(id, v uint64) []byte { return append(varint(id), varint(v)...) }

// send makes p send the bytes of the rule, with the request on stream s.
func (r *rule) send(p *side, s *rawStream) {
	control := r.control
	if control == nil {
		control = settings()
	}
	p.open(conn.Uni, control, false)
	for i, b := range r.uni {
		p.open(conn.Uni, b, r.fin == i+1)
	}
	if r.request != nil {
		if s == nil {
			s = p.open(conn.Bidi, nil, false)
		}
		p.write(s, r.request, r.end)
	}
	p.run()
}

// commonRules are the rules for both sides.
// RFC 9114, Section 4.1 [3]; RFC 9114, Section 6.2.1 [2, 3, 5]; RFC 9114, Section 7.1 [2, 3, 4];
// RFC 9114, Section 7.2.1 [2]; RFC 9114, Section 7.2.2 [1]; RFC 9114, Section 7.2.3 [6, 7, 8]; RFC
// 9114, Section 7.2.4 [2, 4, 5]; RFC 9114, Section 7.2.4.1 [4]; RFC 9114, Section 7.2.5 [8]; RFC
// 9114, Section 7.2.6 [2]; RFC 9114, Section 7.2.7 [1]; RFC 9114, Section 7.2.8 [2]; RFC 9114,
// Section 9 [3]; RFC 9114, Section 10.8 [1]; RFC 9114, Section 5.2 [6].
func commonRules() []rule {
	long := make([]byte, maxSettingsFrame+1)
	endless := bytes.Repeat([]byte{0xff}, 12)
	rules := []rule{
		{name: "no SETTINGS first", conn: MissingSettings,
			control: concat(varint(streamControl), frame(frameGoAway, 0))},
		{name: "reserved frame before SETTINGS", conn: MissingSettings,
			control: concat(varint(streamControl), frame(reserved(1)), frame(frameSettings))},
		{name: "DATA before SETTINGS", conn: MissingSettings,
			control: concat(varint(streamControl), frame(frameData))},
		{name: "SETTINGS twice", conn: FrameUnexpected, control: settings(frame(frameSettings))},
		{name: "DATA on the control stream", conn: FrameUnexpected, control: settings(frame(frameData, 1))},
		{name: "HEADERS on the control stream", conn: FrameUnexpected, control: settings(headers(get...))},
		{name: "PUSH_PROMISE on the control stream", conn: FrameUnexpected, control: settings(frame(framePushPromise, 0))},
		{name: "setting twice", conn: SettingsError, control: concat(varint(streamControl),
			frame(frameSettings, concat(setting(0x6, 1), setting(0x6, 1))...))},
		{name: "ENABLE_CONNECT_PROTOCOL of 2", conn: SettingsError, control: concat(varint(streamControl),
			frame(frameSettings, setting(SettingExtendedConnect, 2)...))},
		{name: "H3_DATAGRAM of 2", conn: SettingsError, control: concat(varint(streamControl),
			frame(frameSettings, setting(SettingDatagrams, 2)...))}, // RFC 9297, Section 2.1.1 [2]
		{name: "reserved setting and one of HTTP/2", conn: SettingsError, control: concat(varint(streamControl),
			frame(frameSettings, concat(setting(reserved(0), 0), setting(0x2, 0))...))},
		{name: "setting of two bytes twice", conn: SettingsError, control: concat(varint(streamControl),
			frame(frameSettings, concat(setting(0x40, 0), setting(0x40, 0))...))},
		{name: "setting without a value", conn: FrameError, control: concat(varint(streamControl), frame(frameSettings, 6))},
		{name: "setting cut short", conn: FrameError, control: concat(varint(streamControl), frame(frameSettings, 6, 0x40))},
		{name: "SETTINGS too long", conn: ExcessiveLoad, control: concat(varint(streamControl), frame(frameSettings, long...))},
		{name: "GOAWAY without an ID", conn: FrameError, control: settings(frame(frameGoAway))},
		{name: "GOAWAY longer than its ID", conn: FrameError, control: settings(frame(frameGoAway, 0, 0))},
		{name: "GOAWAY shorter than its ID", conn: FrameError, control: settings(frame(frameGoAway, 0x40))},
		{name: "GOAWAY too long", conn: FrameError, control: settings(frame(frameGoAway, make([]byte, 9)...))},
		{name: "GOAWAY increased", conn: IDError, control: settings(frame(frameGoAway, 4), frame(frameGoAway, 8))},
		{name: "CANCEL_PUSH", conn: IDError, control: settings(frame(frameCancelPush, 0))},
		{name: "CANCEL_PUSH without an ID", conn: FrameError, control: settings(frame(frameCancelPush))},
		// RFC 9204, Section 4.2 [2, 4]
		{name: "control stream ends", conn: ClosedCriticalStream, uni: [][]byte{}, fin: -1},
		{name: "QPACK encoder stream ends", conn: ClosedCriticalStream, uni: [][]byte{varint(streamQPACKEncoder)}, fin: 1},
		{name: "QPACK decoder stream ends", conn: ClosedCriticalStream, uni: [][]byte{varint(streamQPACKDecoder)}, fin: 1},
		{name: "QPACK encoder stream ends within an instruction", conn: ClosedCriticalStream,
			uni: [][]byte{concat(varint(streamQPACKEncoder), []byte{0x3f})}, fin: 1},
		{name: "two control streams", conn: StreamCreationError, uni: [][]byte{settings()}},
		{name: "two QPACK encoder streams", conn: StreamCreationError,
			uni: [][]byte{varint(streamQPACKEncoder), varint(streamQPACKEncoder)}},
		{name: "two QPACK decoder streams", conn: StreamCreationError,
			uni: [][]byte{varint(streamQPACKDecoder), varint(streamQPACKDecoder)}},
		{name: "insertion into a table without capacity", conn: QPACKEncoderStreamError,
			uni: [][]byte{concat(varint(streamQPACKEncoder), []byte{0xc0, 1, 'a'})}},
		{name: "duplicate of no entry", conn: QPACKEncoderStreamError,
			uni: [][]byte{concat(varint(streamQPACKEncoder), []byte{0})}},
		{name: "capacity beyond all integers", conn: QPACKEncoderStreamError,
			uni: [][]byte{concat(varint(streamQPACKEncoder), []byte{0x3f}, endless)}},
		{name: "increment beyond all integers", conn: QPACKDecoderStreamError,
			uni: [][]byte{concat(varint(streamQPACKDecoder), []byte{0x3f}, endless)}},
		{name: "capacity above the limit", conn: QPACKEncoderStreamError,
			uni: [][]byte{concat(varint(streamQPACKEncoder), []byte{0x21})}},
		{name: "increment of 0", conn: QPACKDecoderStreamError,
			uni: [][]byte{concat(varint(streamQPACKDecoder), []byte{0})}},
		{name: "increment beyond what was inserted", conn: QPACKDecoderStreamError,
			uni: [][]byte{concat(varint(streamQPACKDecoder), []byte{1})}},
		{name: "acknowledgment of no section", conn: QPACKDecoderStreamError,
			uni: [][]byte{concat(varint(streamQPACKDecoder), []byte{0x80})}},

		// On the request stream.
		{name: "DATA before HEADERS", conn: FrameUnexpected, request: frame(frameData, 1)},
		{name: "frame header cut short", conn: FrameError, request: []byte{frameHeaders}, end: true},
		{name: "HEADERS cut short", conn: FrameError, request: []byte{frameHeaders, 5, 0}, end: true},
		{name: "unknown frame cut short", conn: FrameError, request: []byte{0x21, 5, 0}, end: true},
		{name: "section without a prefix", conn: QPACKDecompressionFailed, request: frame(frameHeaders)},
		{name: "section with a negative base", conn: QPACKDecompressionFailed, request: frame(frameHeaders, 0, 0x80)},
		{name: "string longer than its section", conn: QPACKDecompressionFailed, request: frame(frameHeaders, 0, 0, 0x23, 'a')},
		{name: "integer beyond all integers", conn: QPACKDecompressionFailed,
			request: frame(frameHeaders, concat([]byte{0, 0, 0xff}, endless)...)},
		{name: "Huffman code padded with zeros", conn: QPACKDecompressionFailed, request: frame(frameHeaders, 0, 0, 0x29, 0, 0)},
		{name: "dynamic index without a required insert count", conn: QPACKDecompressionFailed,
			request: frame(frameHeaders, 0, 0, 0x80)},
		{name: "reference to the dynamic table", conn: QPACKDecompressionFailed, request: frame(frameHeaders, 2, 0, 0x80)},
		{name: "static index 99", conn: QPACKDecompressionFailed, request: frame(frameHeaders, 0, 0, 0xff, 0x24)},
	}
	rules = append(rules, tableRules()...)
	for _, typ := range []uint64{2, 6, 8, 9} {
		rules = append(rules,
			rule{name: fmt.Sprintf("frame %#x of HTTP/2 on the control stream", typ), conn: FrameUnexpected,
				control: settings(frame(typ))},
			rule{name: fmt.Sprintf("frame %#x of HTTP/2 on the request stream", typ), conn: FrameUnexpected,
				request: frame(typ)})
	}
	for _, id := range []uint64{0, 2, 3, 4, 5} {
		rules = append(rules, rule{name: fmt.Sprintf("setting %#x of HTTP/2", id), conn: SettingsError,
			control: concat(varint(streamControl), frame(frameSettings, setting(id, 0)...))})
	}
	for _, typ := range []uint64{frameCancelPush, frameSettings, frameGoAway, frameMaxPushID,
		framePriorityUpdateRequest, framePriorityUpdatePush} { // RFC 9218, Section 7.2 [2]
		rules = append(rules, rule{name: fmt.Sprintf("frame %#x on the request stream", typ), conn: FrameUnexpected,
			request: frame(typ, 0)})
	}
	return rules
}

// tableRules are the rules of QPACK's dynamic table.
func tableRules() []rule {
	// The capacity is set to 100 bytes, and an entry of 34 inserted.
	instructions := func(more ...byte) [][]byte {
		return [][]byte{concat(varint(streamQPACKEncoder), []byte{0x3f, 69, 0x41, 'x', 1, 'y'}, more)}
	}
	return []rule{
		{name: "capacity above the limit of a table", table: 100, conn: QPACKEncoderStreamError, uni: instructions(0x3f, 70)},
		{name: "entry larger than the table", table: 100, conn: QPACKEncoderStreamError,
			uni: instructions(append([]byte{0x41, 'x', 68}, make([]byte, 68)...)...)},
		{name: "name of static index 99", table: 100, conn: QPACKEncoderStreamError, uni: instructions(0xff, 0x24, 0)},
		{name: "name of an entry that is not there", table: 100, conn: QPACKEncoderStreamError, uni: instructions(0x81, 0)},
		{name: "duplicate of an entry that is not there", table: 100, conn: QPACKEncoderStreamError, uni: instructions(0x01)},
		{name: "duplicate of an evicted entry", table: 100, conn: QPACKEncoderStreamError,
			uni: instructions(0x41, 'a', 1, 'b', 0x41, 'c', 1, 'd', 0x02)},
		{name: "Huffman code in an instruction padded with zeros", table: 100, conn: QPACKEncoderStreamError,
			uni: instructions(0x61, 0, 0)},

		{name: "reference to an entry that is not there", table: 100, conn: QPACKDecompressionFailed, uni: instructions(),
			request: frame(frameHeaders, 2, 0, 0x81)},
		{name: "reference to an entry behind the required insert count", table: 100, conn: QPACKDecompressionFailed,
			uni: instructions(0x41, 'a', 1, 'b'), request: frame(frameHeaders, 2, 0, 0x10)},
		{name: "name reference to an entry that is not there", table: 100, conn: QPACKDecompressionFailed, uni: instructions(),
			request: frame(frameHeaders, 2, 0, 0x41, 0)},
		{name: "required insert count larger than a table can mean", table: 100, conn: QPACKDecompressionFailed,
			uni: instructions(), request: frame(frameHeaders, 7, 0, 0x80)},
		{name: "base below zero", table: 100, conn: QPACKDecompressionFailed, uni: instructions(),
			request: frame(frameHeaders, 2, 0x81, 0x80)},
		{name: "required insert count larger than the section needs", table: 100, conn: QPACKDecompressionFailed,
			uni: instructions(0x41, 'a', 1, 'b'), request: frame(frameHeaders, 3, 0, 0x81)},
		{name: "required insert count and no reference", table: 100, conn: QPACKDecompressionFailed,
			uni: instructions(), request: frame(frameHeaders, 2, 0, 0xd1)},
		{name: "required insert count cut short", table: 100, conn: QPACKDecompressionFailed, uni: instructions(),
			request: frame(frameHeaders, 0xff, 0x80)},
	}
}

// serverRules are the rules that a client may break.
// RFC 9114, Section 4.1 [2, 10]; RFC 9114, Section 4.1.2 [2]; RFC 9114, Section 4.3 [3, 5]; RFC
// 9114, Section 4.4 [2]; RFC 9114, Section 6.2.2 [1]; RFC 9114, Section 7.2.5 [10]; RFC 9114,
// Section 7.2.7 [4].
// RFC 9114, Section 4.1.2 [1].
func serverRules() []rule {
	rules := append(commonRules(), []rule{
		{name: "MAX_PUSH_ID reduced", conn: IDError, control: settings(frame(frameMaxPushID, 5), frame(frameMaxPushID, 4))},
		{name: "MAX_PUSH_ID too long", conn: FrameError, control: settings(frame(frameMaxPushID, 5, 4))},
		{name: "push stream", conn: StreamCreationError, uni: [][]byte{concat(varint(streamPush), varint(0))}},
		{name: "PUSH_PROMISE", conn: FrameUnexpected, request: frame(framePushPromise, 0)},
		// RFC 9218, Section 7.2 [8].
		{name: "PRIORITY_UPDATE for a push", conn: IDError, control: settings(frame(framePriorityUpdatePush, 0))},
		{name: "PRIORITY_UPDATE for a push, cut short", conn: FrameError, control: settings(frame(framePriorityUpdatePush, 0x40))},
		// RFC 9218, Section 7.2 [4].
		{name: "PRIORITY_UPDATE for a stream that is no request", conn: IDError,
			control: settings(frame(framePriorityUpdateRequest, 2))},
		{name: "long PRIORITY_UPDATE for a stream that is no request", conn: IDError,
			control: settings(frame(framePriorityUpdateRequest, append([]byte{2}, bytes.Repeat([]byte{'a'}, 600)...)...))},
		{name: "PRIORITY_UPDATE with no Dictionary", conn: GeneralProtocolError,
			control: settings(frame(framePriorityUpdateRequest, []byte("\x00u=3,")...))},
		{name: "PRIORITY_UPDATE with no Dictionary for a request to come", conn: GeneralProtocolError,
			control: settings(frame(framePriorityUpdateRequest, []byte("\x04U=3")...))},
		// RFC 9218, Section 7.2 [6].
		{name: "PRIORITY_UPDATE for a stream above the limit", conn: IDError,
			control: settings(frame(framePriorityUpdateRequest, varint(4*100)...))},
		{name: "PRIORITY_UPDATE cut short", conn: FrameError, control: settings(frame(framePriorityUpdateRequest, 0x40))},
		{name: "PRIORITY_UPDATE without an ID", conn: FrameError, control: settings(frame(framePriorityUpdateRequest))},

		{name: "HEADERS after trailers", conn: FrameUnexpected,
			request: concat(headers(post...), headers("x-a", "1"), headers("x-b", "1"))},
		{name: "DATA after trailers", conn: FrameUnexpected,
			request: concat(headers(post...), headers("x-a", "1"), frame(frameData, 1))},
		{name: "HEADERS after CONNECT", conn: FrameUnexpected,
			request: concat(headers(":method", "CONNECT", ":authority", "a:1"), headers("x-a", "1"))},

		{name: "no request", stream: RequestIncomplete, request: []byte{}, end: true},
		{name: "an unknown frame and no request", stream: RequestIncomplete, request: frame(reserved(7), 1, 2), end: true},
		{name: "body shorter than content-length", stream: MessageError, end: true,
			request: concat(headers(with(post, "content-length", "5")...), frame(frameData, 1, 2, 3, 4))},
		{name: "body longer than content-length", stream: MessageError,
			request: concat(headers(with(post, "content-length", "1")...), frame(frameData, 1), frame(frameData, 1))},
		{name: "no body but a content-length", stream: MessageError, end: true,
			request: headers(with(post, "content-length", "1")...)},
		{name: "pseudo-header field in trailers", stream: MessageError,
			request: concat(headers(post...), headers(":path", "/"))},
		{name: "upper case in trailers", stream: MessageError,
			request: concat(headers(post...), headers("X-A", "1"))},
		{name: "connection-specific field in trailers", stream: MessageError,
			request: concat(headers(post...), headers("connection", "close"))},
	}...)
	bad := badRequests()
	for _, name := range slices.Sorted(maps.Keys(bad)) {
		rules = append(rules, rule{name: name, stream: MessageError, request: headers(bad[name]...), end: true})
	}
	return rules
}

// breakServer makes a scripted client break the rule.
func (r rule) breakServer(t *testing.T) {
	srv, cli := connect(t, &Config{QPACKTableCapacity: r.table, QPACKBlockedStreams: r.table}, nil)
	srv.on = func(ev Event) {
		if ev.Kind == EventReadable {
			readAll(ev.Stream) // so that what follows the body is looked at
		}
		srv.events = append(srv.events, ev)
	}
	s := cli.open(conn.Bidi, nil, false)
	endControl(&r, cli)
	r.send(cli, s)
	if r.conn != 0 {
		cli.wantClosed(r.conn)
		require.Equal(t, 1, countKind(srv.events, EventClosed))
		return
	}
	require.NoError(t, cli.closed, "the connection lives")
	require.True(t, s.reset == r.stream || s.stopped == r.stream, "reset %v, stopped %v", s.reset, s.stopped)
	for _, ev := range srv.events {
		if ev.Kind == EventCanceled {
			require.Equal(t, r.stream, ev.Code)
			require.Error(t, ev.Err)
			_, err := ev.Stream.Read(make([]byte, 1))
			require.Error(t, err)
			ev.Stream.Release()
		}
	}
	require.Zero(t, srv.h.Stats().Open)
}

// endControl ends the control stream of a rule whose fin is -1.
func endControl(r *rule, p *side) {
	if r.fin == -1 {
		p.open(conn.Uni, settings(), true)
		r.control = varint(reserved(3))
	}
}

func countKind(events []Event, kind EventKind) (n int) {
	for _, ev := range events {
		if ev.Kind == kind {
			n++
		}
	}
	return n
}

// badRequests are malformed header sections (RFC 9114, Sections 4.2 to 4.4), as
// names and values.
// RFC 9114, Section 4.2 [2, 4, 5]; RFC 9114, Section 4.3 [2, 4, 6]; RFC 9114, Section 4.3.1 [1, 5,
// 6, 7, 8, 9]; RFC 9114, Section 4.4 [1]; RFC 9114, Section 10.3 [1, 2].
// RFC 9114, Section 4.1 [5].
func badRequests() map[string][]string {
	m := map[string][]string{
		"empty section":             {},
		"no :method":                {":scheme", "https", ":authority", "a", ":path", "/"},
		"no :scheme":                {":method", "GET", ":authority", "a", ":path", "/"},
		"no :path":                  {":method", "GET", ":scheme", "https", ":authority", "a"},
		"no authority":              {":method", "GET", ":scheme", "https", ":path", "/"},
		"empty :method":             {":method", "", ":scheme", "https", ":authority", "a", ":path", "/"},
		"empty :scheme":             {":method", "GET", ":scheme", "", ":authority", "a", ":path", "/"},
		"empty :authority":          {":method", "GET", ":scheme", "https", ":authority", "", ":path", "/"},
		"empty :path":               {":method", "GET", ":scheme", "https", ":authority", "a", ":path", ""},
		":path without a slash":     {":method", "GET", ":scheme", "https", ":authority", "a", ":path", "index.html"},
		"* for GET":                 {":method", "GET", ":scheme", "https", ":authority", "a", ":path", "*"},
		":path with a space":        {":method", "GET", ":scheme", "https", ":authority", "a", ":path", "/a b"},
		":method with a space":      {":method", "GET /", ":scheme", "https", ":authority", "a", ":path", "/"},
		"user information":          {":method", "GET", ":scheme", "https", ":authority", "u@a", ":path", "/"},
		":status in a request":      with(get, ":status", "200"),
		"unknown pseudo-header":     with(get, ":foo", "1"),
		":protocol without CONNECT": with(get, ":protocol", "websocket"),
		":protocol not offered": {":method", "CONNECT", ":scheme", "https", ":authority", "a", ":path", "/",
			":protocol", "websocket"},
		":path twice":                with(get, ":path", "/"),
		":method after a field":      {":scheme", "https", ":authority", "a", ":path", "/", "x", "1", ":method", "GET"},
		"CONNECT without :authority": {":method", "CONNECT"},
		"CONNECT with an empty one":  {":method", "CONNECT", ":authority", ""},
		"CONNECT with :path":         {":method", "CONNECT", ":authority", "a:1", ":path", "/"},
		"CONNECT with :scheme":       {":method", "CONNECT", ":authority", "a:1", ":scheme", "https"},
		"host is not :authority":     with(get, "host", "evil.test"),
		"host with another port":     with(get, "host", "lazo.test:4433"),
		"host with the port of http": with(get, "host", "lazo.test:80"),
		"host of an address":         {":method", "GET", ":scheme", "https", ":authority", "[::443]", ":path", "/", "host", "[:]"},
		"empty host":                 with(get, "host", ""),
		":authority with a space":    {":method", "GET", ":scheme", "https", ":authority", "a b", ":path", "/"},
		":authority with a path":     {":method", "GET", ":scheme", "https", ":authority", "a/b", ":path", "/"},
		":authority beyond ASCII":    {":method", "GET", ":scheme", "https", ":authority", "\xc3\xa4", ":path", "/"},
		"CONNECT to a URL":           {":method", "CONNECT", ":authority", "https://a"},
		"host with a quote":          {":method", "GET", ":scheme", "https", ":path", "/", "host", "a\""},
		"two hosts":                  with(get, "host", "lazo.test", "host", "evil.test"),
		"upper-case name":            with(get, "X-Upper", "1"),
		"empty name":                 with(get, "", "1"),
		"name with a space":          with(get, "x y", "1"),
		"name with a colon":          with(get, "x:y", "1"),
		"name with DEL":              with(get, "x\x7f", "1"),
		"name beyond ASCII":          with(get, "x\xe4", "1"),
		"te other than trailers":     with(get, "te", "gzip"),
		"negative content-length":    with(get, "content-length", "-1"),
		"signed content-length":      with(get, "content-length", "+1"),
		"content-length of words":    with(get, "content-length", "ten"),
		"empty content-length":       with(get, "content-length", ""),
		"list of content-length":     with(get, "content-length", "1, 1"),
		"content-length beyond 2^63": with(get, "content-length", "9223372036854775808"),
		"two content-lengths":        with(get, "content-length", "1", "content-length", "2"),
	}
	for _, name := range []string{"connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"} {
		m["connection-specific field "+name] = with(get, name, "close")
	}
	for _, v := range []string{" a", "a ", "\ta", "a\t", " ", "\t"} {
		m[fmt.Sprintf("value %q", v)] = with(get, "x", v)
	}
	for _, c := range "\x00\r\n\x01\x08\x0b\x1f\x7f" {
		m[fmt.Sprintf("value with %q", c)] = with(get, "x", "a"+string(c)+"b")
		m[fmt.Sprintf(":path with %q", c)] = []string{":method", "GET", ":scheme", "https", ":authority", "a", ":path", "/" + string(c)}
		m[fmt.Sprintf("name with %q", c)] = with(get, "x"+string(c), "1")
	}
	return m
}

// clientRules are the rules that a server may break.
// RFC 9114, Section 4.1 [2, 3]; RFC 9114, Section 4.1.2 [2, 3]; RFC 9114, Section 4.2 [3, 4]; RFC
// 9114, Section 4.3 [2, 3, 5]; RFC 9114, Section 4.3.2 [1]; RFC 9114, Section 4.6 [2]; RFC 9114,
// Section 7.2.5 [2]; RFC 9114, Section 7.2.6 [1]; RFC 9114, Section 7.2.7 [3].
func clientRules() []rule {
	ok := headers(":status", "200")
	return append(commonRules(), []rule{
		{name: "MAX_PUSH_ID", conn: FrameUnexpected, control: settings(frame(frameMaxPushID, 5))},
		// RFC 9218, Section 7.2 [10].
		{name: "PRIORITY_UPDATE", conn: FrameUnexpected, control: settings(frame(framePriorityUpdateRequest, 0))},
		{name: "push stream", conn: IDError, uni: [][]byte{concat(varint(streamPush), varint(0))}},
		{name: "PUSH_PROMISE", conn: IDError, request: frame(framePushPromise, 0)},
		{name: "PUSH_PROMISE without a field section", conn: IDError, request: frame(framePushPromise, 0x40, 1)},
		{name: "PUSH_PROMISE whose field section is to come", conn: IDError,
			request: concat(varint(framePushPromise), varint(1000), varint(7))},
		{name: "PUSH_PROMISE without a push ID", conn: FrameError, request: frame(framePushPromise)},
		{name: "PUSH_PROMISE shorter than its push ID", conn: FrameError,
			request: concat(frame(framePushPromise, 0x80, 0, 0), headers(":status", "200"))},
		{name: "PUSH_PROMISE cut short by the end", conn: FrameError, end: true,
			request: concat(varint(framePushPromise), varint(1000), []byte{0xc0, 0})},
		{name: "GOAWAY with the ID of no request", conn: IDError, control: settings(frame(frameGoAway, 5))},
		{name: "HEADERS after trailers", conn: FrameUnexpected, request: concat(ok, headers("x-a", "1"), headers("x-b", "1"))},
		{name: "DATA after trailers", conn: FrameUnexpected, request: concat(ok, headers("x-a", "1"), frame(frameData, 1))},
		{name: "DATA after an interim response", conn: FrameUnexpected, request: concat(headers(":status", "103"), frame(frameData, 1))},

		{name: "no response", stream: MessageError, request: []byte{}, end: true},
		{name: "an interim response alone", stream: MessageError, request: headers(":status", "100"), end: true},
		{name: "no :status", stream: MessageError, request: headers("x", "1")},
		{name: "empty section", stream: MessageError, request: headers()},
		{name: ":status twice", stream: MessageError, request: headers(":status", "200", ":status", "200")},
		{name: ":status of 4 digits", stream: MessageError, request: headers(":status", "2000")},
		{name: ":status of words", stream: MessageError, request: headers(":status", "abc")},
		{name: ":status 099", stream: MessageError, request: headers(":status", "099")},
		{name: ":status 101", stream: MessageError, request: headers(":status", "101")},
		{name: ":path in a response", stream: MessageError, request: headers(":status", "200", ":path", "/")},
		{name: ":status after a field", stream: MessageError, request: headers("x", "1", ":status", "200")},
		{name: "upper-case name", stream: MessageError, request: headers(":status", "200", "X", "1")},
		{name: "connection-specific field", stream: MessageError, request: headers(":status", "200", "transfer-encoding", "chunked")},
		{name: "value with LF", stream: MessageError, request: headers(":status", "200", "x", "a\nb: c")},
		{name: "pseudo-header field in trailers", stream: MessageError, request: concat(ok, headers(":status", "200"))},
		{name: "body shorter than content-length", stream: MessageError, end: true,
			request: concat(headers(":status", "200", "content-length", "2"), frame(frameData, 1))},
		{name: "body longer than content-length", stream: MessageError,
			request: concat(headers(":status", "200", "content-length", "1"), frame(frameData, 1, 2))},
		{name: "body of a 204", stream: MessageError, request: concat(headers(":status", "204"), frame(frameData, 1))},
		{name: "body of a 304", stream: MessageError, request: concat(headers(":status", "304"), frame(frameData, 1))},
		{name: "65 interim responses", stream: ExcessiveLoad,
			request: concat(bytes.Repeat(headers(":status", "103"), maxInterims+1), ok)},
		{name: "fields too large", stream: ExcessiveLoad, request: headers(":status", "200", "x", strings.Repeat("x", 65510))},
		{name: "trailers too large", stream: ExcessiveLoad,
			request: concat(ok, headers("x", strings.Repeat("x", 65510)))},
		{name: "HEADERS longer than the limit", stream: ExcessiveLoad,
			request: concat(varint(frameHeaders), varint(1<<40))},
	}...)
}

// breakClient makes a scripted server break the rule.
func (r rule) breakClient(t *testing.T) {
	srv, cli := connect(t, nil, &Config{QPACKTableCapacity: r.table, QPACKBlockedStreams: r.table})
	cli.on = func(ev Event) {
		if ev.Kind == EventReadable {
			readAll(ev.Stream)
		}
		cli.events = append(cli.events, ev)
	}
	s, err := cli.h.OpenRequest(getFields, true)
	require.NoError(t, err)
	cli.run()
	endControl(&r, srv)
	r.send(srv, srv.streams[0])
	if r.conn != 0 {
		srv.wantClosed(r.conn)
		return
	}
	require.NoError(t, srv.closed, "the connection lives")
	ev := cli.want(EventCanceled)
	require.Equal(t, r.stream, ev.Code)
	var herr *Error
	require.ErrorAs(t, ev.Err, &herr)
	require.Equal(t, r.stream, herr.Code)
	_, err = s.Read(make([]byte, 1))
	var serr *conn.StreamError
	require.ErrorAs(t, err, &serr)
	require.Equal(t, uint64(r.stream), serr.Code)
	s.Release()
	srv.run()
	require.Equal(t, r.end, srv.streams[0].stopped == 0, "nothing to stop behind the end")
	require.Zero(t, cli.h.Stats().Open)
}

// TestPushPromiseInTunnel: behind the response to CONNECT only DATA may come (RFC 9114, Section
// 4.4).
func TestPushPromiseInTunnel(t *testing.T) {
	srv, cli := connect(t, nil, &Config{})
	_, err := cli.h.OpenRequest([]Field{{Name: ":method", Value: "CONNECT"}, {Name: ":authority", Value: "a:1"}}, false)
	require.NoError(t, err)
	cli.run()
	r := rule{request: concat(headers(":status", "200"), frame(framePushPromise, 0))}
	r.send(srv, srv.streams[0])
	srv.wantClosed(FrameUnexpected)
}

// TestPushIDInPieces: the code of the error depends on a push ID that has not come whole.
func TestPushIDInPieces(t *testing.T) {
	for _, test := range []struct {
		end  bool
		rest []byte
		code ErrorCode
	}{
		{false, []byte{1}, IDError},
		{true, nil, FrameError},
	} {
		srv, cli := connect(t, nil, &Config{})
		_, err := cli.h.OpenRequest(getFields, true)
		require.NoError(t, err)
		cli.run()
		r := rule{request: []byte{framePushPromise, 2, 0x40}}
		r.send(srv, srv.streams[0])
		require.NoError(t, srv.closed, "the push ID has not come whole")
		srv.write(srv.streams[0], test.rest, test.end)
		srv.run()
		srv.wantClosed(test.code)
	}
}

// TestServerBidiStream: a client takes none unless an extension allows it.
// RFC 9114, Section 6.1 [3].
func TestServerBidiStream(t *testing.T) {
	srv, _ := connect(t, nil, &Config{})
	srv.open(conn.Bidi, varint(0x41), false)
	srv.run()
	srv.wantClosed(StreamCreationError)

	srv, _ = connect(t, nil, &Config{StreamTypes: []uint64{0x41}})
	srv.open(conn.Bidi, varint(0x42), false)
	srv.run()
	srv.wantClosed(StreamCreationError)
}

// TestCriticalStreamReset and TestCriticalStreamStopped close critical streams in other ways.
func TestCriticalStreamReset(t *testing.T) {
	for _, typ := range []uint64{streamControl, streamQPACKEncoder, streamQPACKDecoder} {
		_, cli := connect(t, &Config{}, nil)
		b := varint(typ)
		if typ == streamControl {
			b = settings()
		}
		s := cli.open(conn.Uni, b, false)
		cli.run()
		s.Reset(uint64(NoError))
		cli.run()
		cli.wantClosed(ClosedCriticalStream)
	}
}

func TestCriticalStreamStopped(t *testing.T) {
	for _, id := range []conn.StreamID{3, 7, 11} {
		_, cli := connect(t, &Config{}, nil)
		cli.streams[id].StopSending(uint64(NoError))
		cli.run()
		cli.wantClosed(ClosedCriticalStream)
	}
}

// RFC 9297, Section 2.1 [1, 2].
func TestDatagramRules(t *testing.T) {
	for name, b := range map[string][]byte{
		"empty":                     {},
		"quarter stream ID cut":     {0x40},
		"quarter stream ID of 2^60": wire.AppendVarint(nil, 1<<60),
	} {
		t.Run(name, func(t *testing.T) {
			_, cli := connect(t, &Config{Datagrams: true}, nil)
			_, err := cli.q.SendDatagram(b, conn.DatagramOptions{})
			require.NoError(t, err)
			cli.run()
			cli.wantClosed(DatagramError)
		})
	}
}

// TestDatagramAboveTheLimit names a stream that the client may not open (RFC 9297, Section 2.1).
// RFC 9297, Section 2.1 [6].
func TestDatagramAboveTheLimit(t *testing.T) {
	for quarter, closed := range map[uint64]bool{99: false, 100: true, 1<<60 - 1: true} {
		_, cli := connect(t, &Config{Datagrams: true}, nil)
		cli.open(conn.Uni, concat(varint(streamControl), frame(frameSettings, setting(SettingDatagrams, 1)...)), false)
		_, err := cli.q.SendDatagram(append(varint(quarter), 'x'), conn.DatagramOptions{})
		require.NoError(t, err)
		cli.run()
		if closed {
			cli.wantClosed(IDError)
		} else {
			require.NoError(t, cli.closed, "it may overtake its request")
		}
	}
}

// TestDatagramOfServerAboveTheLimit is the same for a server, which named a request that the client
// may not open.
func TestDatagramOfServerAboveTheLimit(t *testing.T) {
	for quarter, closed := range map[uint64]bool{99: false, 100: true, 1<<60 - 1: true} {
		srv, _ := connect(t, nil, &Config{Datagrams: true})
		srv.open(conn.Uni, concat(varint(streamControl), frame(frameSettings, setting(SettingDatagrams, 1)...)), false)
		_, err := srv.q.SendDatagram(append(varint(quarter), 'x'), conn.DatagramOptions{})
		require.NoError(t, err)
		srv.run()
		if closed {
			srv.wantClosed(IDError)
		} else {
			require.NoError(t, srv.closed, "RFC 9297, Section 2.1, has it dropped")
		}
	}
}

// TestUnknownIsIgnored sends what unknown extensions may send. QPACK streams may be opened though
// no table is used (RFC 9204, Section 4.2 [5]), and stay open (RFC 9204, Section 4.2 [3]).
// RFC 9114, Section 6.2 [1, 2, 4, 5, 6, 7, 9]; RFC 9114, Section 6.2.3 [1]; RFC 9114, Section 7.2.8
// [1]; RFC 9114, Section 7.2.4 [6]; RFC 9114, Section 7.2.4.1 [2]; RFC 9114, Section 9 [1, 2]; RFC
// 9114, Section 4.1 [8].
func TestUnknownIsIgnored(t *testing.T) {
	srv, cli := connect(t, &Config{}, nil)
	srv.echo()
	r := rule{
		control: settings(frame(reserved(9), 1, 2, 3), frame(frameMaxPushID, 7), frame(frameMaxPushID, 7),
			frame(0xf0700, 0, 'u', '=', 'x'), frame(0xf0700, append([]byte{0}, bytes.Repeat([]byte{'a'}, 600)...)...)),
		uni: [][]byte{
			concat(varint(streamQPACKEncoder), []byte{0x20}),
			concat(varint(streamQPACKDecoder), []byte{0x48}),
			concat(varint(reserved(4)), []byte("whatever")),
			{},
		},
		request: concat(frame(reserved(1)), headers(with(post, "te", "trailers", "host", "lazo.test", "content-length", "3")...),
			frame(reserved(2), make([]byte, 3000)...), frame(frameData, 'a'), frame(frameData), frame(reserved(3)),
			frame(frameData, 'b', 'c'), frame(reserved(4), 1), headers("x-t", "1"), frame(reserved(5), 1)),
		end: true,
	}
	r.fin = 4 // a stream that ends before it says what it is
	s := cli.open(conn.Bidi, nil, false)
	r.send(cli, s)
	require.NoError(t, cli.closed)
	require.True(t, s.eof)
	require.Equal(t, concat(frame(frameHeaders, 0, 0, 0xd9), frame(frameData, 'a'), frame(frameData, 'b', 'c'),
		headers("x-t", "1")), s.data)
	require.Equal(t, StreamCreationError, cli.streams[14].stopped, "RFC 9114, Section 6.2")
	for _, id := range []conn.StreamID{6, 10} {
		require.Zero(t, cli.streams[id].stopped)
	}
	for _, id := range []conn.StreamID{7, 11} {
		require.False(t, cli.streams[id].eof || cli.streams[id].reset != 0)
	}
}

// TestHugeUnknownFrame skips a frame of 2^61 bytes as it comes.
func TestHugeUnknownFrame(t *testing.T) {
	srv, cli := connect(t, &Config{}, nil)
	s := cli.open(conn.Bidi, concat(varint(reserved(1)), varint(1<<61)), false)
	chunk := make([]byte, 100<<10)
	for range 40 {
		for left := chunk; len(left) > 0; {
			n, _ := s.Write(left)
			left = left[n:]
			cli.net.RunFor(rtt)
		}
	}
	require.NoError(t, cli.closed)
	require.Zero(t, srv.h.Stats().FieldBytes)
	require.Equal(t, 1, srv.h.Stats().Open)
}
