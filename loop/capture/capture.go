// Package capture writes what Loops send and receive to a pcapng file with the secrets of
// TLS inside. Wireshark and tshark open such a file and decrypt it without a key log.
//
//	out := capture.New(file)
//	out.Attach(tlsConfig, loopConfig)
//
// Whoever has the file can read all that it holds. A capture is for tests and for finding faults:
// each datagram costs a copy and a lock.
package capture

import (
	"crypto/tls"
	"io"
	"net/netip"
	"sync"
	"time"

	"github.com/lazoquic/lazo/loop"
	"github.com/lazoquic/lazo/udpio"
)

// A Writer writes a capture. Any goroutine may call its methods, and any number of Backends may
// share it.
type Writer struct {
	mu     sync.Mutex
	out    io.Writer
	err    error
	b      []byte       // scratch
	held   []byte       // blocks of datagrams that wait for their secrets
	wait   []heldPacket // the datagrams in held
	source source
}

// A heldPacket is a datagram that waits for its secrets.
type heldPacket struct {
	at time.Time
	n  int // bytes of its block
}

// Readers decrypt a packet only if its secrets stand before it in the file. The secrets may become
// known a while after the packet was read, because TLS runs on another goroutine. So datagrams wait
// for holdTime, or until holdBytes of them wait.
const (
	holdTime  = 250 * time.Millisecond
	holdBytes = 4 << 20
)

// New returns a Writer that has written the head of a capture to out. Each call of out.Write has
// one block or more, whole. After the first that fails nothing more is written: see Err.
func New(out io.Writer) *Writer {
	w := &Writer{out: out, source: make(source)}
	w.b = appendInterface(appendSection(nil))
	w.write(w.b)
	return w
}

// Attach has the Writer capture the Loops of lc with the secrets of the connections of tc. Where
// tc has a KeyLogWriter already, both get the secrets. Call it before either is used.
func (w *Writer) Attach(tc *tls.Config, lc *loop.Config) {
	lc.WrapBackend = w.Wrap
	if tc.KeyLogWriter == nil {
		tc.KeyLogWriter = w.KeyLog()
	} else {
		tc.KeyLogWriter = io.MultiWriter(tc.KeyLogWriter, w.KeyLog())
	}
}

// Wrap returns a Backend that moves datagrams by b and writes them to the capture. It is for
// [loop.Config.WrapBackend].
func (w *Writer) Wrap(b loop.Backend) loop.Backend { return &backend{Backend: b, w: w} }

// KeyLog returns a writer for [crypto/tls.Config.KeyLogWriter], which puts the secrets into the
// capture.
func (w *Writer) KeyLog() io.Writer { return (*keyLog)(w) }

// Flush writes what waits for its secrets. Call it after the last Backend is closed.
func (w *Writer) Flush() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.release(time.Time{})
	return w.err
}

// Err returns the first error of writing, nil if there was none.
func (w *Writer) Err() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}

func (w *Writer) write(b []byte) {
	if w.err == nil && len(b) > 0 {
		_, w.err = w.out.Write(b)
	}
}

// A direction is the way that a datagram went.
type direction uint32

// The values are the flags of a packet in the file.
const (
	received direction = 1
	sent     direction = 2
)

// add takes in the datagrams of a message that was read or written at the time at.
func (w *Writer) add(at time.Time, dir direction, m *udpio.Message, local netip.AddrPort) {
	if m.Local.IsValid() {
		local = m.Local
	}
	local = w.source.of(local, m.Remote)
	from, to := m.Remote, local
	if dir == sent {
		from, to = local, m.Remote
	}
	size := m.SegmentSize
	if size <= 0 {
		size = max(len(m.Buf), 1)
	}
	for rest := m.Buf; len(rest) > 0; {
		data := rest[:min(size, len(rest))]
		rest = rest[len(data):]
		start := len(w.held)
		w.b = appendIP(w.b[:0], from, to, m.ECN, data)
		w.held = appendPacket(w.held, at, dir, w.b)
		w.wait = append(w.wait, heldPacket{at, len(w.held) - start})
	}
}

// release writes the datagrams that were read or written before a time. It writes all of them if
// the time is zero or too many wait.
func (w *Writer) release(before time.Time) {
	n, bytes := 0, 0
	for _, p := range w.wait {
		if !before.IsZero() && !p.at.Before(before) && len(w.held)-bytes <= holdBytes {
			break
		}
		n++
		bytes += p.n
	}
	w.write(w.held[:bytes])
	w.held = append(w.held[:0], w.held[bytes:]...)
	w.wait = append(w.wait[:0], w.wait[n:]...)
}

// batch takes in the messages of one ReadBatch or WriteBatch.
func (w *Writer) batch(dir direction, ms []udpio.Message, local netip.AddrPort) {
	now := time.Now()
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := range ms {
		if ms[i].Err != nil {
			continue // an ICMP message quotes a datagram that was captured when it was sent
		}
		w.add(now, dir, &ms[i], local)
	}
	w.release(now.Add(-holdTime))
}

// A keyLog is a Writer in the form that crypto/tls uses.
type keyLog Writer

// Write takes one line of a key log.
func (k *keyLog) Write(line []byte) (int, error) {
	w := (*Writer)(k)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.b = appendSecrets(w.b[:0], line)
	w.write(w.b)
	// an error would make crypto/tls end the handshake; Err returns it instead
	return len(line), nil
}

// A backend captures the messages of another Backend.
type backend struct {
	loop.Backend
	w *Writer
}

func (b *backend) ReadBatch(ms []udpio.Message, deadline time.Time) (int, error) {
	n, err := b.Backend.ReadBatch(ms, deadline)
	b.w.batch(received, ms[:n], b.LocalAddr())
	return n, err
}

func (b *backend) WriteBatch(ms []udpio.Message) (int, error) {
	n, err := b.Backend.WriteBatch(ms)
	b.w.batch(sent, ms[:n], b.LocalAddr())
	return n, err
}

// Stats returns the counters of the Backend that does the work, if it has some.
func (b *backend) Stats() udpio.Stats {
	if s, ok := b.Backend.(interface{ Stats() udpio.Stats }); ok {
		return s.Stats()
	}
	return udpio.Stats{}
}

// Close closes the Backend that does the work, and writes what waits for its secrets.
func (b *backend) Close() error {
	err := b.Backend.Close()
	b.w.Flush() // Err returns the error
	return err
}
