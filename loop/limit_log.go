package loop

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// Each place in the code may write logBurst lines in a time of logWindow.
const (
	logBurst  = 10
	logWindow = 10 * time.Second
)

// LimitLog returns a Handler that passes records on to h: at most 10 in 10 seconds from each place
// in the code. If there are more, a record with the message "log lines were left out" follows at
// the end of that time. It has the number of those that were left out, and the message of the
// first. So a peer that provokes lines cannot fill a disk, nor hide lines of other places.
//
// The Loops of this package and the servers on top use it for what they write themselves. Handlers
// of applications may use it too. Do not use it for a log that has a line for each request.
func LimitLog(h slog.Handler) slog.Handler {
	return &limitedLog{next: h, places: &logPlaces{all: make(map[uintptr]*logPlace)}}
}

// limited returns a Logger that passes its lines on through LimitLog, or discards them if l is nil.
func limited(l *slog.Logger) *slog.Logger {
	if l == nil {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(LimitLog(l.Handler()))
}

// A limitedLog is the Handler of LimitLog. Those that WithAttrs and WithGroup make share places.
type limitedLog struct {
	next   slog.Handler
	places *logPlaces
}

// logPlaces are the places in the code, by their program counter. There are as many as the program
// has calls.
type logPlaces struct {
	mu  sync.Mutex
	all map[uintptr]*logPlace
}

// A logPlace counts what a place in the code writes.
type logPlace struct {
	until   time.Time // the end of the window
	passed  int       // records in it
	leftOut int       // likewise
}

func (l *limitedLog) Enabled(ctx context.Context, level slog.Level) bool {
	return l.next.Enabled(ctx, level)
}

func (l *limitedLog) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &limitedLog{l.next.WithAttrs(attrs), l.places}
}

func (l *limitedLog) WithGroup(name string) slog.Handler {
	return &limitedLog{l.next.WithGroup(name), l.places}
}

// Handle passes r on, or counts it.
func (l *limitedLog) Handle(ctx context.Context, r slog.Record) error {
	if !l.passes(r) {
		return nil
	}
	return l.next.Handle(ctx, r)
}

// passes reports whether r is to be written. The first record that is left out starts a timer,
// which calls tell.
func (l *limitedLog) passes(r slog.Record) bool {
	l.places.mu.Lock()
	defer l.places.mu.Unlock()
	p, now := l.places.all[r.PC], time.Now()
	if p == nil {
		p = new(logPlace)
		l.places.all[r.PC] = p
	}
	if p.leftOut == 0 && !now.Before(p.until) {
		*p = logPlace{until: now.Add(logWindow)}
	}
	if p.passed < logBurst {
		p.passed++
		return true
	}
	if p.leftOut++; p.leftOut == 1 {
		time.AfterFunc(p.until.Sub(now), func() { l.tell(p, r.PC, r.Level, r.Message) })
	}
	return false
}

// tell writes how many records were left out, and begins anew.
func (l *limitedLog) tell(p *logPlace, pc uintptr, level slog.Level, first string) {
	l.places.mu.Lock()
	n := p.leftOut
	*p = logPlace{}
	l.places.mu.Unlock()
	r := slog.NewRecord(time.Now(), level, "log lines were left out", pc)
	r.AddAttrs(slog.Int("count", n), slog.String("like", first))
	l.next.Handle(context.Background(), r)
}
