package loop

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"

	"github.com/lazoquic/lazo/conn"
)

// maxRecorded is how many bytes all flight recorders of a directory keep together.
const maxRecorded = 64 << 20

// A qlogRecorder keeps the last records of a connection until the connection has ended. dir.mu
// guards it.
type qlogRecorder struct {
	dir     *qlogDir
	f       *qlogFile
	header  []byte // the first record
	data    []byte // the other records, from start on
	start   int
	records []recorded // the same records, from first on
	first   int
	failed  bool // the connection died of an error
}

// A recorded is a record in memory.
type recorded struct {
	n  int     // in bytes
	at float64 // when it was made, in milliseconds of the log
}

// Write takes a whole record. It does not block, and does not fail.
func (r *qlogRecorder) Write(record []byte) (int, error) {
	d := r.dir
	d.mu.Lock()
	defer d.mu.Unlock()
	if r.f.closed {
		return 0, os.ErrClosed
	}
	if r.header == nil {
		r.header = append(r.header, record...)
		d.recorded += len(record)
		return len(record), nil
	}
	at := recordTime(record)
	r.records = append(r.records, recorded{n: len(record), at: at})
	r.data = append(r.data, record...)
	d.recorded += len(record)
	recent := float64(d.options.Recent.Microseconds()) / 1000
	isPacket := bytes.Contains(record[:min(len(record), 64)], []byte(`:packet_`))
	for r.held() > d.options.RecentBytes || d.recorded > maxRecorded || isPacket && at-r.records[r.first].at > recent {
		r.forget()
		if r.first == len(r.records) {
			break
		}
	}
	r.compact()
	return len(record), nil
}

// held returns how many bytes of records are kept.
func (r *qlogRecorder) held() int { return len(r.data) - r.start }

// forget drops the oldest record.
func (r *qlogRecorder) forget() {
	n := r.records[r.first].n
	r.start += n
	r.first++
	r.dir.recorded -= n
}

// compact frees the space of records that were dropped, once it is more than half.
func (r *qlogRecorder) compact() {
	if r.start > len(r.data)/2 {
		r.data = r.data[:copy(r.data, r.data[r.start:])]
		r.start = 0
	}
	if r.first > len(r.records)/2 {
		r.records = r.records[:copy(r.records, r.records[r.first:])]
		r.first = 0
	}
}

// recordTime returns the time of a record, in milliseconds since the log began.
func recordTime(record []byte) float64 {
	_, after, _ := bytes.Cut(record, []byte(`"time":`))
	end := max(bytes.IndexAny(after, ",}"), 0)
	// it cannot fail: this module has written the number
	at, _ := strconv.ParseFloat(string(after[:end]), 64)
	return at
}

// ConnClosed notes why the connection has ended: see [conn.Config.QLog].
func (r *qlogRecorder) ConnClosed(err error) { r.failed = !plainClose(err) }

// plainClose reports whether a connection that ended with err was closed on purpose.
func plainClose(err error) bool {
	if ae, ok := errors.AsType[*conn.ApplicationError](err); ok {
		const h3NoError = 0x100 // RFC 9114, Section 8.1
		return ae.Code == 0 || ae.Code == h3NoError
	}
	te, ok := errors.AsType[*conn.TransportError](err)
	return err == nil || ok && te.Code == 0
}

// Close writes the records if the connection died of an error, and forgets them.
func (r *qlogRecorder) Close() error {
	d := r.dir
	d.mu.Lock()
	defer d.mu.Unlock()
	if r.f.closed {
		return os.ErrClosed
	}
	r.f.closed = true
	held := r.data[r.start:]
	d.recorded -= len(r.header) + len(held)
	if r.failed && len(d.in.data)+len(held) > maxQLogBytes {
		r.failed = false
		r.f.missed = fmt.Errorf("loop: qlog: %s is missing: the disk cannot keep up", r.f.path)
		d.end(r.f)
	}
	if r.failed {
		d.add(r.f, r.header)
		d.add(r.f, held)
		d.end(r.f)
	}
	r.header, r.data, r.records = nil, nil, nil
	return nil
}
