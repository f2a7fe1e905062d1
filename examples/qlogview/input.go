package main

import (
	"bufio"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
)

// An input collects the traces of all files.
type input struct {
	report   *report
	from, to int64 // the part of each trace to show, in µs
	traces   []*trace
}

// file reads one file. It reports broken records, and returns no error for them.
func (in *input) file(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	name := filepath.Base(path)
	count := &progress{r: f, report: in.report, name: name, told: time.Now()}
	if info, err := f.Stat(); err == nil {
		count.size = info.Size()
	}
	r := bufio.NewReaderSize(count, 256<<10)
	if magic, _ := r.Peek(2); len(magic) == 2 && magic[0] == 0x1f && magic[1] == 0x8b {
		zr, err := gzip.NewReader(r)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		r = bufio.NewReaderSize(zr, 256<<10)
	}
	in.read(name, r)
	return nil
}

// read reads the records of a file into traces.
func (in *input) read(name string, r *bufio.Reader) {
	var t *trace
	shown := len(in.traces)
	begin := func() {
		t = newTrace(name, in.from, in.to)
		in.traces = append(in.traces, t)
	}
	for rec := range records(r) {
		if rec.starts && t != nil && t.events > 0 || t == nil {
			if len(in.traces) == maxTraces {
				in.report.tell(name, "the page has %d traces already, the rest is left out", maxTraces)
				break
			}
			begin()
		}
		err := rec.err
		if err == nil {
			err = t.record(rec.raw)
		}
		switch {
		case err == nil:
		case errors.Is(err, io.ErrUnexpectedEOF), rec.last && isCut(err):
			in.report.tell(name, "the last record, %d, is not complete and is left out", rec.n)
		default:
			in.report.tell(name, "record %d: %v", rec.n, err)
		}
	}
	kept := in.traces[:shown]
	for _, t := range in.traces[shown:] {
		if t.end(); t.events > 0 {
			kept = append(kept, t)
		}
	}
	if in.traces = kept; len(kept) == shown {
		in.report.tell(name, "has no event")
	}
}

// maxNotes is how many faults of the files are reported at most.
const maxNotes = 20

// A report tells what is wrong with the files, on standard error and on the page.
type report struct {
	w     io.Writer
	lines []string
	more  int
}

// tell reports something about a file, up to maxNotes times.
func (r *report) tell(file, format string, args ...any) {
	if len(r.lines) == maxNotes {
		r.more++
		return
	}
	line := file + ": " + clip(fmt.Sprintf(format, args...), 300)
	r.lines = append(r.lines, line)
	fmt.Fprintln(r.w, "qlogview:", line)
}

// notes returns all lines at the end, and says how many were left out.
func (r *report) notes() []string {
	if r.more > 0 {
		line := fmt.Sprintf("%d more notes of this kind are left out", r.more)
		fmt.Fprintln(r.w, "qlogview:", line)
		return append(r.lines, line)
	}
	return r.lines
}

// A progress tells how far a file has been read, if that takes long.
type progress struct {
	r      io.Reader
	report *report
	name   string
	size   int64
	read   int64
	told   time.Time
}

// progressEvery is the time between two lines of progress.
const progressEvery = 2 * time.Second

func (p *progress) Read(b []byte) (int, error) {
	n, err := p.r.Read(b)
	p.read += int64(n)
	if now := time.Now(); now.Sub(p.told) >= progressEvery && p.size > 0 {
		p.told = now
		fmt.Fprintf(p.report.w, "qlogview: %s: %d %% of %d MB\n", p.name, 100*p.read/p.size, p.size/1_000_000)
	}
	return n, err
}

// clip shortens a string to n bytes, at the start of a character.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && s[n]&0xc0 == 0x80 {
		n--
	}
	return s[:n] + "…"
}
