package main

import (
	"cmp"
	"slices"
)

// maxStreams bounds the streams that are shown. maxStalls bounds the waits of each that are shown.
const (
	maxStreams = 1500
	maxStalls  = 24
)

// A stream is a row of the waterfall. Times are in µs.
type stream struct {
	ID       int64      `json:"id"`
	Label    string     `json:"label,omitempty"`
	Open     int64      `json:"open"`
	Sent     int64      `json:"sent"`     // when its first byte was sent; -1 if none was
	Received int64      `json:"received"` // when its first byte was received
	End      int64      `json:"end"`      // when both directions were done, or -1
	Last     int64      `json:"last"`     // when it was last seen
	Tx       int64      `json:"tx"`       // bytes of data, without repetitions
	Rx       int64      `json:"rx"`
	Blocked  int64      `json:"blocked"` // µs for which it waited for its limit
	Stalls   [][2]int64 `json:"stalls,omitempty"`

	waits   int64 // when it began to wait for its limit, or never
	sending way
	reading way
}

// A way is how far a direction of a stream is.
type way struct{ used, done bool }

// streams are the streams of a trace.
type streams struct {
	byID map[int64]*stream
	more int64 // events of streams that are not followed
}

// at returns the stream with an ID, or nil if it is not followed.
func (s *streams) at(id, t int64) *stream {
	st := s.byID[id]
	if st == nil {
		if len(s.byID) >= maxStreams {
			s.more++
			return nil
		}
		st = &stream{ID: id, Open: t, Sent: -1, Received: -1, End: -1, waits: never}
		s.byID[id] = st
	}
	st.Last = max(st.Last, t)
	return st
}

// data takes a STREAM frame.
func (st *stream) data(t int64, f *frame, sent bool) {
	first, bytes, w := &st.Received, &st.Rx, &st.reading
	if sent {
		first, bytes, w = &st.Sent, &st.Tx, &st.sending
	}
	w.used = true
	if *first < 0 {
		*first = t
	}
	*bytes = max(*bytes, f.Offset.count()+f.bytes())
	if f.Fin {
		w.done = true
	}
	st.finish(t)
}

// state takes a state of one direction (RFC 9000, Section 3).
func (st *stream) state(t int64, name string, sending bool) {
	w := &st.reading
	if sending {
		w = &st.sending
	}
	w.used = true
	switch name {
	case "ready", "send", "receive", "size_known", "open", "idle":
	default:
		w.done = true
		if sending {
			st.blocked(t, false)
		}
	}
	st.finish(t)
}

// finish notes the time when all directions are done. A stream of one direction has the bit 2 in
// its ID (RFC 9000, Section 2.1).
func (st *stream) finish(t int64) {
	one := st.ID&2 != 0
	done := st.sending.done && st.reading.done || one && (st.sending.done || st.reading.done)
	if done && st.End < 0 {
		st.End = t
	}
}

// blocked says whether the stream waits for its limit.
func (st *stream) blocked(t int64, waits bool) {
	switch {
	case waits && st.waits == never:
		st.waits = t
	case !waits && st.waits != never:
		st.Blocked += t - st.waits
		if len(st.Stalls) < maxStalls {
			st.Stalls = append(st.Stalls, [2]int64{st.waits, t})
		}
		st.waits = never
	}
}

// rows returns the streams as they were opened.
func (s *streams) rows(end int64) []*stream {
	rows := make([]*stream, 0, len(s.byID))
	for _, st := range s.byID {
		st.blocked(end, false)
		rows = append(rows, st)
	}
	slices.SortFunc(rows, func(a, b *stream) int {
		return cmp.Or(cmp.Compare(a.Open, b.Open), cmp.Compare(a.ID, b.ID))
	})
	return rows
}
