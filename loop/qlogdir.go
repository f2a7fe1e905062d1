package loop

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/lazoquic/lazo/conn"
)

// maxQLogBytes is how many bytes may wait for the disk.
const maxQLogBytes = 4 << 20

// maxQLogNames is how many names with a time are tried for a file.
const maxQLogNames = 100

// QLogDir returns a function for [conn.Config.QLog] that writes each connection to
// dir/ID_client.sqlog or dir/ID_server.sqlog. If there is a file of that name, from an earlier
// connection with the same ID, the time in nanoseconds follows the ID. It makes dir if need be. A
// goroutine does the writing, while there is something to write; up to 4 MiB wait for the disk.
// Records beyond that are dropped, and an event "loglevel:warning" says how many are missing. A
// file that fails is given up, and [slog.Default] is told why: see QLogDirReport. The function
// returns a value with a method Done too, whose channel is closed when all of the file is written.
// [QLogOptions] can do more.
func QLogDir(dir string) func(id conn.ConnID, server bool) io.WriteCloser {
	return QLogOptions{}.Dir(dir)
}

// QLogDirReport is QLogDir with a function that is told what cannot be written. It is told once,
// and again only after something could be written. It is called on the goroutine that writes.
func QLogDirReport(dir string, report func(error)) func(id conn.ConnID, server bool) io.WriteCloser {
	return QLogOptions{Report: report}.Dir(dir)
}

// A qlogDir writes the files of a directory.
type qlogDir struct {
	dir     string
	options QLogOptions
	conns   atomic.Uint64 // connections that were offered a qlog
	// the last file failed, and the failure was reported; belongs to the goroutine that writes
	failing bool
	gzip    compressor // belongs to the goroutine that writes

	mu       sync.Mutex
	writing  bool // the goroutine that writes exists
	in       qlogQueue
	recorded int    // bytes that flight recorders keep
	scratch  []byte // a record without addresses
}

// A qlogQueue holds data that is to be written, in pieces, in order.
type qlogQueue struct {
	pieces []qlogPiece
	data   []byte
}

// A qlogPiece is the next n bytes of the data. They are for one file, which may end with them.
type qlogPiece struct {
	f   *qlogFile
	n   int
	end bool
}

// A qlogFile is one file. dir.mu guards the fields that do not belong to the goroutine that writes.
type qlogFile struct {
	dir     *qlogDir
	path    string
	closed  bool
	dropped int // records that were dropped since the last one that was queued
	done    chan struct{}

	missed error // why there is no file; set before the end is queued

	// These belong to the goroutine that writes.
	file   *os.File // nil until there is something to write
	failed bool
	plain  []byte // bytes that are to be compressed
}

func (d *qlogDir) open(id conn.ConnID, server bool) io.WriteCloser {
	if !d.sampled() {
		return nil
	}
	name := id.String() + "_client.sqlog"
	if server {
		name = id.String() + "_server.sqlog"
	}
	if d.options.Compress {
		name += ".gz"
	}
	f := &qlogFile{dir: d, path: filepath.Join(d.dir, name), done: make(chan struct{})}
	if d.options.Recent > 0 {
		return &qlogRecorder{dir: d, f: f}
	}
	return f
}

// Write takes a whole record. It does not block, and does not fail.
func (f *qlogFile) Write(record []byte) (int, error) {
	d := f.dir
	d.mu.Lock()
	defer d.mu.Unlock()
	if f.closed {
		return 0, os.ErrClosed
	}
	if len(d.in.data)+len(record) > maxQLogBytes {
		f.dropped++
		return len(record), nil
	}
	if f.dropped > 0 {
		d.add(f, f.mark(record))
	}
	d.add(f, record)
	return len(record), nil
}

// Close ends the file, after what was written.
func (f *qlogFile) Close() error {
	d := f.dir
	d.mu.Lock()
	defer d.mu.Unlock()
	if f.closed {
		return os.ErrClosed
	}
	f.closed = true
	if f.dropped > 0 {
		d.add(f, f.mark(nil))
	}
	d.end(f)
	return nil
}

// Done returns a channel that is closed when the file is closed after Close, or was given up.
func (f *qlogFile) Done() <-chan struct{} { return f.done }

// end queues the end of a file. The caller holds d.mu.
func (d *qlogDir) end(f *qlogFile) {
	d.in.pieces = append(d.in.pieces, qlogPiece{f: f, end: true})
	d.start()
}

// mark returns a record that says how many records were dropped. It takes the time of next.
func (f *qlogFile) mark(next []byte) []byte {
	at := []byte("0")
	if _, after, ok := bytes.Cut(next, []byte(`"time":`)); ok {
		if i := bytes.IndexAny(after, ",}"); i >= 0 {
			at = after[:i]
		}
	}
	n := f.dropped
	f.dropped = 0
	return fmt.Appendf(nil, "\x1e{\"time\":%s,\"name\":\"loglevel:warning\",\"data\":{\"message\":\"%d records are missing\"}}\n", at, n)
}

// add queues b for f. The caller holds d.mu.
func (d *qlogDir) add(f *qlogFile, b []byte) {
	q := &d.in
	if d.options.HideAddresses {
		d.scratch = hideAddresses(d.scratch[:0], b)
		b = d.scratch
	}
	q.data = append(q.data, b...)
	if last := len(q.pieces) - 1; last >= 0 && q.pieces[last].f == f {
		q.pieces[last].n += len(b)
	} else {
		q.pieces = append(q.pieces, qlogPiece{f: f, n: len(b)})
	}
	d.start()
}

// start starts the goroutine that writes the queue, unless it runs already. The caller holds d.mu.
func (d *qlogDir) start() {
	if !d.writing {
		d.writing = true
		go d.write()
	}
}

// write writes until the queue is empty.
func (d *qlogDir) write() {
	var out qlogQueue
	for {
		d.mu.Lock()
		d.in, out = out, d.in
		d.writing = len(out.pieces) > 0
		d.mu.Unlock()
		if len(out.pieces) == 0 {
			return
		}
		b := out.data
		for _, p := range out.pieces {
			p.f.write(b[:p.n], p.end)
			if b = b[p.n:]; p.end {
				close(p.f.done)
			}
		}
		clear(out.pieces)
		out.pieces, out.data = out.pieces[:0], out.data[:0]
	}
}

// write writes b to the file, and closes it at the end.
func (f *qlogFile) write(b []byte, end bool) {
	if f.missed != nil {
		f.dir.options.Report(f.missed)
		return
	}
	if f.file == nil && !f.failed && len(b) > 0 {
		err := os.MkdirAll(filepath.Dir(f.path), 0o755)
		if err == nil {
			f.file, err = f.create()
		}
		f.ended(err)
	}
	if f.failed {
		return
	}
	if f.file != nil && (len(b) > 0 || end) {
		err := f.put(b, end)
		f.ended(err)
		if err != nil {
			f.file.Close()
			return
		}
	}
	if end && f.file != nil {
		f.file.Close()
	}
}

// create makes the file. A client chooses the ID that its connection has here. So it must not be
// able to overwrite the file of an earlier connection with the same ID.
func (f *qlogFile) create() (*os.File, error) {
	const flags = os.O_WRONLY | os.O_CREATE | os.O_EXCL
	file, err := os.OpenFile(f.path, flags, 0o666)
	dir, name := filepath.Split(f.path)
	id, rest, _ := strings.Cut(name, "_")
	now := time.Now().UnixNano() // a clock may be coarse, and show the same to several
	for i := int64(0); i < maxQLogNames && errors.Is(err, fs.ErrExist); i++ {
		other := fmt.Sprintf("%s-%d_%s", id, now+i, rest)
		file, err = os.OpenFile(filepath.Join(dir, other), flags, 0o666)
	}
	return file, err
}

// put writes b to the file, and compresses it if asked to. end says that nothing follows.
func (f *qlogFile) put(b []byte, end bool) error {
	if !f.dir.options.Compress {
		_, err := f.file.Write(b)
		return err
	}
	f.plain = append(f.plain, b...)
	if len(f.plain) == 0 || len(f.plain) < gzipPiece && !end {
		return nil
	}
	member, err := f.dir.gzip.member(f.plain)
	f.plain = f.plain[:0]
	if err == nil {
		_, err = f.file.Write(member)
	}
	return err
}

// ended notes the result of an operation on the file.
func (f *qlogFile) ended(err error) {
	f.failed = err != nil
	if f.failed && !f.dir.failing {
		f.dir.options.Report(fmt.Errorf("loop: qlog: %w", err))
	}
	f.dir.failing = f.failed
}
