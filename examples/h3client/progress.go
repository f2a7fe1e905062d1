package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"
)

const (
	longDownload = 8 << 20     // bytes from which on a download is long
	longTime     = time.Second // or this, while the length says nothing
	drawEvery    = 100 * time.Millisecond
	barWidth     = 30
	clearLine    = "\x1b[K" // the control sequence that clears the rest of a line
)

// A screen is standard error. It has whole lines. If it is a terminal, a last line below them shows
// the progress of the downloads. It may be used concurrently.
type screen struct {
	w    io.Writer
	bars bool // whether it shows downloads

	mu      sync.Mutex
	drawn   bool
	began   time.Time // when the first of these downloads began, while no other ran
	next    time.Time // when they are drawn again
	begun   int       // downloads since
	running int
	length  int64 // of all, or -1
	n       int64 // bytes so far
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

// Write writes whole lines.
func (s *screen) Write(lines []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clear()
	return s.w.Write(lines)
}

// clear removes the progress line.
func (s *screen) clear() {
	if s.drawn {
		fmt.Fprint(s.w, "\r", clearLine)
		s.drawn = false
	}
}

// A download is one of those that a screen shows. As an io.Writer it counts what it gets.
type download struct{ s *screen }

// begin begins to show a download of length bytes, or -1.
func (s *screen) begin(length int64) download {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if s.running == 0 {
		s.began, s.next = now, now.Add(longTime)
		s.begun, s.length, s.n = 0, 0, 0
	}
	s.begun++
	s.running++
	switch {
	case length < 0 || s.length < 0:
		s.length = -1
	default:
		s.length += length
	}
	if length >= longDownload && now.Before(s.next) {
		s.next = now
	}
	return download{s}
}

// Write never fails: a line that cannot be drawn does not matter.
func (d download) Write(b []byte) (int, error) {
	s := d.s
	s.mu.Lock()
	defer s.mu.Unlock()
	s.n += int64(len(b))
	if now := time.Now(); s.bars && !now.Before(s.next) {
		fmt.Fprint(s.w, "\r", s.line(now.Sub(s.began)), clearLine)
		s.next, s.drawn = now.Add(drawEvery), true
	}
	return len(b), nil
}

// end ends the download. The end of the last one removes the line.
func (d download) end() {
	d.s.mu.Lock()
	defer d.s.mu.Unlock()
	if d.s.running--; d.s.running == 0 {
		d.s.clear()
	}
}

// line returns the text of the progress line after a time.
func (s *screen) line(elapsed time.Duration) string {
	const mib = 1 << 20
	rate := float64(s.n) / mib / max(elapsed, time.Millisecond).Seconds()
	amount := fmt.Sprintf("%.1f MiB, %.1f MiB/s", float64(s.n)/mib, rate)
	switch {
	case s.begun > 1:
		return fmt.Sprintf("%d done, %d running, %s", s.begun-s.running, s.running, amount)
	case s.length < 0:
		return amount
	}
	part := 1.0
	if s.n < s.length {
		part = float64(s.n) / float64(s.length)
	}
	full := int(part * barWidth)
	return fmt.Sprintf("[%s%s] %3.0f%% of %.1f MiB, %.1f MiB/s", strings.Repeat("=", full),
		strings.Repeat(" ", barWidth-full), 100*part, float64(s.length)/mib, rate)
}
