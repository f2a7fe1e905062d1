package main

// A cause is what the data of a connection waits for.
type cause uint8

const (
	causeUnknown     cause = iota // the log does not tell
	causeHandshake                // there are no keys for it yet
	causeApplication              // there is nothing to send
	causeCongestion
	causeFlow // a limit of the peer on the connection, a stream or the number of streams
	causePacing
	causeAmplification
	numCauses
)

// causeNames are what the page calls them.
var causeNames = [numCauses]string{
	"not told", "handshake", "application", "congestion window", "flow control", "pacing", "amplification limit",
}

// reasons are the causes by their names in the drafts.
var reasons = map[string]cause{
	"pacing": causePacing, "amplification_protection": causeAmplification, "congestion_control": causeCongestion,
	"connection_flow_control": causeFlow, "stream_flow_control": causeFlow, "stream_id": causeFlow,
	"application": causeApplication,
}

// A timeline says what data waited for at each time: in spans, or in the shares of bins once there
// are more than maxPoints spans.
type timeline struct {
	now   cause
	since int64 // µs, or never before the first cause is set
	Total [numCauses]int64

	Spans []span
	Width int64 // of a bin in µs; 0 if there are spans
	Bins  [][numCauses]int64
}

// A span is a time in which data waited for one cause.
type span struct {
	From, To int64
	Cause    cause
}

// set says that data waits for a cause from now on.
func (l *timeline) set(t int64, c cause) {
	if l.since == never {
		l.now, l.since = c, t
		return
	}
	if c != l.now {
		l.end(t)
		l.now = c
	}
}

// end ends the current span.
func (l *timeline) end(t int64) {
	if l.since == never || t <= l.since {
		return
	}
	s := span{l.since, t, l.now}
	l.since = t
	l.Total[s.Cause] += s.To - s.From
	if n := len(l.Spans); n > 0 && l.Spans[n-1].Cause == s.Cause && l.Spans[n-1].To == s.From {
		l.Spans[n-1].To = s.To
		return
	}
	if l.Width == 0 && len(l.Spans) < maxPoints {
		l.Spans = append(l.Spans, s)
		return
	}
	if l.Width == 0 {
		l.Width = 1
		for _, s := range l.Spans {
			l.spread(s)
		}
		l.Spans = nil
	}
	l.spread(s)
}

// spread adds a span to the bins that it touches.
func (l *timeline) spread(s span) {
	for (s.To-1)/l.Width >= maxBins {
		l.Bins = halve(l.Bins, func(a *[numCauses]int64, b [numCauses]int64) {
			for i := range a {
				a[i] += b[i]
			}
		})
		l.Width *= 2
	}
	for at := s.From; at < s.To; {
		i := at / l.Width
		next := min((i+1)*l.Width, s.To)
		grow(&l.Bins, i)[s.Cause] += next - at
		at = next
	}
}

// A waiting finds out what data waits for. It keeps two timelines: one from events that tell the
// cause, and one that is guessed from packets, for logs without such events.
type waiting struct {
	told, guessed timeline
	tells         bool // there was an event that tells the cause

	reason    cause // of the connection as a whole
	ready     bool  // there are keys for data
	streams   map[int64]bool
	limits    limits
	window    int64 // of congestion control, in bytes; 0 if it is unknown
	inFlight  int64
	server    bool
	validated bool // packets show that the server has validated the address of the client
	sent      int64
	received  int64
}

func newWaiting() waiting {
	return waiting{
		told: timeline{since: never}, guessed: timeline{since: never}, streams: map[int64]bool{}, limits: newLimits(),
	}
}

// update sets both timelines to what is known now.
func (w *waiting) update(t int64) {
	w.told.set(t, w.tell())
	w.guessed.set(t, w.guess())
}

// tell returns the cause that events have told.
func (w *waiting) tell() cause {
	switch {
	case w.reason != causeApplication:
		return w.reason
	case !w.ready:
		return causeHandshake
	case len(w.streams) > 0:
		return causeFlow
	}
	return causeApplication
}

// fullPacket is about the length of a full packet, in bytes. With less room in the window, data
// waits.
const fullPacket = 1200

// guess guesses the cause from packets and figures. It cannot tell pacing from an application that
// has nothing to send.
func (w *waiting) guess() cause {
	switch {
	// RFC 9000, Section 8.1
	case w.server && !w.validated && w.received > 0 && 3*w.received-w.sent < fullPacket:
		return causeAmplification
	case !w.ready:
		return causeHandshake
	case len(w.streams) > 0 || w.limits.reached():
		return causeFlow
	case w.window > 0 && w.inFlight+fullPacket > w.window:
		return causeCongestion
	}
	return causeUnknown
}

// end ends both timelines and returns the better one.
func (w *waiting) end(t int64, tells bool) (l *timeline, guessed bool) {
	w.told.end(t)
	w.guessed.end(t)
	if w.tells || tells {
		return &w.told, false
	}
	return &w.guessed, true
}

// stream says whether a stream waits for its limit.
func (w *waiting) stream(id int64, waits bool) {
	if !waits {
		delete(w.streams, id)
	} else if len(w.streams) < maxStreams {
		w.streams[id] = true
	}
}

// limits follow the peer's limit on all data. Not every library logs that this limit blocks it.
type limits struct {
	known    bool
	maxData  int64
	sent     int64
	highest  map[int64]int64 // of each stream's data
	overflow bool            // there are too many streams to follow
	blocked  bool            // DATA_BLOCKED was sent
}

func newLimits() limits { return limits{highest: map[int64]int64{}} }

// raise takes a limit on all data.
func (l *limits) raise(v int64) {
	if v > l.maxData || !l.known {
		l.known, l.maxData, l.blocked = true, v, false
	}
}

// data takes data of a stream that was sent, up to an offset.
func (l *limits) data(stream, end int64) {
	last, ok := l.highest[stream]
	if !ok && len(l.highest) >= maxFollowed {
		l.overflow = true
		return
	}
	if end > last || !ok {
		l.sent += end - last
		l.highest[stream] = end
	}
}

// maxFollowed bounds the number of streams whose data is added up.
const maxFollowed = 100_000

func (l *limits) reached() bool {
	return l.blocked || l.known && !l.overflow && l.sent > 0 && l.sent >= l.maxData
}
