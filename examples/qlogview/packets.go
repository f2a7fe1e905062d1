package main

import (
	"encoding/json"
	"fmt"
	"strings"
)

// maxDetails bounds the packets of a trace whose frames are on the page.
const maxDetails = 4000

// packets are the packets of a trace over time, by packet number.
type packets struct {
	sent, received, lost, acked curve
	dropped                     int64
	sentBytes, receivedBytes    int64
	details                     []detail
}

// A detail is what the page shows of a packet when the pointer is near it.
type detail struct {
	T    int64  `json:"t"`
	What string `json:"what"` // sent, received or lost
	N    int64  `json:"n"`
	Text string `json:"text"`
}

// packet takes an event about a packet.
func (t *trace) packet(name string, data json.RawMessage) error {
	var p packetData
	if err := json.Unmarshal(data, &p); err != nil {
		return err
	}
	switch name {
	case "packet_sent":
		t.sent(&p)
	case "packet_received":
		t.received(&p)
	case "packet_lost":
		t.lost(&p)
	case "packet_dropped":
		if t.shown() {
			t.packets.dropped++
		}
	}
	return nil
}

func (t *trace) sent(p *packetData) {
	kind, size := p.kind(), p.size()
	t.handshakeStep("sent", kind)
	w := &t.waiting
	w.sent += size
	w.ready = w.ready || kind == "1RTT" || kind == "0RTT"
	if w.reason == causeUnknown && kind == "initial" {
		w.reason = causeApplication // the log has the beginning of the connection
	}
	for i := range p.Frames {
		t.frame(&p.Frames[i], true)
	}
	if !t.shown() {
		return
	}
	ps := &t.packets
	ps.sentBytes += size
	ps.sent.add(t.now, max(p.number(), 0))
	t.detail("sent", p)
}

func (t *trace) received(p *packetData) {
	kind, size := p.kind(), p.size()
	t.handshakeStep("received", kind)
	w := &t.waiting
	w.received += size
	w.ready = w.ready || kind == "1RTT"
	w.validated = w.validated || kind == "handshake" || kind == "1RTT" // RFC 9000, Section 8.1
	for i := range p.Frames {
		t.frame(&p.Frames[i], false)
	}
	if !t.shown() {
		return
	}
	ps := &t.packets
	ps.receivedBytes += size
	ps.received.add(t.now, max(p.number(), 0))
	t.detail("received", p)
}

func (t *trace) lost(p *packetData) {
	if !t.shown() {
		return
	}
	t.packets.lost.add(t.now, max(p.number(), 0))
	t.detail("lost", p)
}

// frame takes a frame of a packet.
func (t *trace) frame(f *frame, sent bool) {
	at, w := max(t.now, t.from), &t.waiting
	if f.Type == "handshake_done" {
		t.steps.note(t.now, "HANDSHAKE_DONE "+direction(sent))
	}
	if f.Type == "ack" && !sent && t.shown() && w.ready {
		if n := f.largest(); n >= 0 {
			t.packets.acked.add(t.now, n)
		}
	}
	if f.Type == "data_blocked" && sent {
		w.limits.blocked = true
	}
	if f.Type == "max_data" && !sent {
		w.limits.raise(f.Maximum.count())
	}
	if f.StreamID == nil {
		return
	}
	id := f.StreamID.count()
	if f.Type == "stream" && sent {
		w.limits.data(id, f.Offset.count()+f.bytes())
	}
	st := t.streams.at(id, at)
	if st == nil {
		return
	}
	switch f.Type {
	case "stream":
		t.steps.note(t.now, "first data "+direction(sent))
		st.data(at, f, sent)
	case "reset_stream", "reset_stream_at":
		st.state(at, "reset", sent)
		if sent {
			w.stream(id, false)
		}
	case "stream_data_blocked":
		if sent {
			st.blocked(at, true)
			w.stream(id, true)
		}
	case "max_stream_data":
		if !sent {
			st.blocked(at, false)
			w.stream(id, false)
		}
	}
}

func direction(sent bool) string {
	if sent {
		return "sent"
	}
	return "received"
}

// largest returns the largest packet number that an ACK frame acknowledges, or -1.
func (f *frame) largest() int64 {
	n := int64(-1)
	for _, r := range f.Ranges {
		for _, v := range r {
			n = max(n, v.count())
		}
	}
	return n
}

// detail keeps the packet, up to maxDetails of them.
func (t *trace) detail(what string, p *packetData) {
	ps, text := &t.packets, p.describe()
	if t.tuple != "" {
		text = t.tuple + ": " + text
	}
	if len(ps.details) < maxDetails {
		ps.details = append(ps.details, detail{T: t.now, What: what, N: p.number(), Text: text})
	}
}

// describe returns the packet in words.
func (p *packetData) describe() string {
	b := &strings.Builder{}
	b.WriteString(p.kind())
	if n := p.number(); n >= 0 {
		fmt.Fprintf(b, " %d", n)
	}
	if n := p.size(); n > 0 {
		fmt.Fprintf(b, ", %d bytes", n)
	}
	if p.Trigger != "" {
		fmt.Fprintf(b, ", %s", clip(p.Trigger, 40))
	}
	for i := range p.Frames {
		if b.Len() > 160 {
			fmt.Fprintf(b, " and %d more", len(p.Frames)-i)
			break
		}
		f := &p.Frames[i]
		fmt.Fprintf(b, "; %s", clip(f.Type, 30))
		switch {
		case f.Type == "stream" && f.StreamID != nil:
			fmt.Fprintf(b, " %d at %d, %d bytes", f.StreamID.count(), f.Offset.count(), f.bytes())
			if f.Fin {
				b.WriteString(", fin")
			}
		case f.Type == "ack":
			fmt.Fprintf(b, " up to %d", f.largest())
		case f.Maximum > 0:
			fmt.Fprintf(b, " %d", f.Maximum.count())
		}
	}
	return b.String()
}

// complete reports whether all packets have details.
func (ps *packets) complete() bool { return len(ps.details) < maxDetails }
