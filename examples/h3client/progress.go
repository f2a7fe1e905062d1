package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

const (
	longDownload = 8 << 20     // bytes from which on a download is long
	longTime     = time.Second // or this, if its length is not known
	drawEvery    = 100 * time.Millisecond
	barWidth     = 30
)

// A progress shows how far a download is, in one line of a terminal. As an io.Writer it counts
// what it gets. The zero progress shows nothing.
type progress struct {
	terminal io.Writer // nil if nothing is shown
	length   int64     // of the whole, or -1
	began    time.Time
	next     time.Time // when it is drawn again
	n        int64     // bytes so far
	drawn    bool
}

// newProgress returns the progress of a download of length bytes, or -1, to out.
func newProgress(length int64, out, stderr io.Writer) *progress {
	if !isTerminal(stderr) || isTerminal(out) || length >= 0 && length < longDownload {
		return &progress{}
	}
	return showProgress(length, stderr)
}

func showProgress(length int64, terminal io.Writer) *progress {
	now := time.Now()
	p := &progress{terminal: terminal, length: length, began: now, next: now}
	if length < 0 {
		p.next = now.Add(longTime)
	}
	return p
}

// isTerminal reports whether f is a terminal, or at least a character device.
func isTerminal(f any) bool {
	file, ok := f.(*os.File)
	if !ok {
		return false
	}
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// Write never fails: a bar that cannot be drawn does not matter.
func (p *progress) Write(b []byte) (int, error) {
	p.n += int64(len(b))
	if now := time.Now(); p.terminal != nil && !now.Before(p.next) {
		fmt.Fprint(p.terminal, "\r", p.line(now.Sub(p.began)), clearLine)
		p.next, p.drawn = now.Add(drawEvery), true
	}
	return len(b), nil
}

// clearLine is the control sequence that clears the rest of a line.
const clearLine = "\x1b[K"

// line is what a person reads after a time.
func (p *progress) line(elapsed time.Duration) string {
	const mib = 1 << 20
	rate := float64(p.n) / mib / max(elapsed, time.Millisecond).Seconds()
	if p.length < 0 {
		return fmt.Sprintf("%.1f MiB, %.1f MiB/s", float64(p.n)/mib, rate)
	}
	part := min(float64(p.n)/float64(p.length), 1)
	full := int(part * barWidth)
	return fmt.Sprintf("[%s%s] %3.0f%% of %.1f MiB, %.1f MiB/s", strings.Repeat("=", full),
		strings.Repeat(" ", barWidth-full), 100*part, float64(p.length)/mib, rate)
}

// finish takes the line away.
func (p *progress) finish() {
	if p.drawn {
		fmt.Fprint(p.terminal, "\r", clearLine)
	}
}
