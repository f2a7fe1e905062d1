package main

import (
	"io"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
)

const (
	longDownload = 8 << 20     // bytes from which on a download is long
	longTime     = time.Second // or this, if its length is not known
)

// A progress shows how far a download is. As an io.Writer it counts what it gets. The
// zero progress shows nothing.
type progress struct {
	bar   *progressbar.ProgressBar
	since time.Time // of a bar that is not shown before longTime
	n     int64     // not shown yet
}

// newProgress returns the progress of a download of length bytes, or -1, to out.
func newProgress(length int64, out, stderr io.Writer) *progress {
	if !isTerminal(stderr) || isTerminal(out) || length >= 0 && length < longDownload {
		return &progress{}
	}
	p := &progress{bar: newBar(length, stderr)}
	if length < 0 {
		p.since = time.Now()
	}
	return p
}

func newBar(length int64, w io.Writer) *progressbar.ProgressBar {
	return progressbar.NewOptions64(length,
		progressbar.OptionSetWriter(w),
		progressbar.OptionShowBytes(true),
		progressbar.OptionShowCount(),
		progressbar.OptionUseIECUnits(true),
		progressbar.OptionThrottle(100*time.Millisecond),
		progressbar.OptionClearOnFinish(),
		progressbar.OptionSetWidth(30),
	)
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
	if p.bar == nil {
		return len(b), nil
	}
	p.n += int64(len(b))
	if time.Since(p.since) >= longTime {
		p.bar.Add64(p.n)
		p.n = 0
	}
	return len(b), nil
}

func (p *progress) finish() {
	if p.bar != nil && p.n == 0 {
		p.bar.Finish()
	}
}
