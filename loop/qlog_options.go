package loop

import (
	"bytes"
	"io"
	"log/slog"
	"time"

	"github.com/lazoquic/lazo/conn"
)

// QLogOptions say which qlogs to write, and what they contain. The zero value does what [QLogDir]
// does.
type QLogOptions struct {
	// OneIn gives a qlog to one in OneIn connections; default all. A peer cannot choose to be one
	// of them.
	OneIn int

	// HideAddresses writes "hidden" in the place of IP addresses. Ports stay.
	HideAddresses bool

	// Compress writes files ID_server.sqlog.gz with gzip, in pieces of about 64 KiB. Up to one
	// piece of each connection waits in memory.
	Compress bool

	// Recent, if not 0, makes a flight recorder. Records stay in memory, and are written only if
	// the connection dies of an error. These are not errors: a close by the application with code 0
	// or H3_NO_ERROR, and a close by the transport with NO_ERROR. The file has the records from
	// Recent before the last packet on: a silence at the end does not count.
	Recent time.Duration

	// RecentBytes is how many bytes a flight recorder keeps of each connection; default 256 KiB.
	// All connections of a directory together keep at most 64 MiB.
	RecentBytes int

	// Report is told about failures to write, as in [QLogDirReport]. The default tells
	// [slog.Default].
	Report func(error)
}

// Dir returns a function for [conn.Config.QLog] that writes to files in dir: see [QLogDir].
func (o QLogOptions) Dir(dir string) func(id conn.ConnID, server bool) io.WriteCloser {
	if o.Report == nil {
		o.Report = func(err error) { slog.Default().Error("no qlog", "err", err) }
	}
	if o.RecentBytes <= 0 {
		o.RecentBytes = 256 << 10
	}
	d := &qlogDir{dir: dir, options: o}
	return d.open
}

// sampled reports whether the next connection has a qlog. It counts connections. So it draws no
// random number, and no peer can decide whether it has a qlog.
func (d *qlogDir) sampled() bool {
	if d.options.OneIn <= 1 {
		return true
	}
	n := d.conns.Add(1) - 1
	return n%uint64(d.options.OneIn) == 0
}

// hideAddresses appends a record to b without its IP addresses. Text of a peer cannot look like the
// name of a member, because quotes in it are escaped.
func hideAddresses(b, record []byte) []byte {
	for {
		begin, end := nextAddress(record)
		if begin < 0 {
			return append(b, record...)
		}
		b = append(append(b, record[:begin]...), "hidden"...)
		record = record[end:]
	}
}

// nextAddress returns where the first IP address of a record begins and ends; -1 if it has none.
func nextAddress(record []byte) (begin, end int) {
	begin = -1
	// The last two are those of version 0.3.
	for _, member := range [...]string{`"ip_v4":"`, `"ip_v6":"`, `"src_ip":"`, `"dst_ip":"`} {
		i := bytes.Index(record, []byte(member))
		if i < 0 || begin >= 0 && i > begin {
			continue
		}
		i += len(member)
		if n := bytes.IndexByte(record[i:], '"'); n >= 0 {
			begin, end = i, i+n
		}
	}
	return begin, end
}
