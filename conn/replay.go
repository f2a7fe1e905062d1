package conn

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"time"

	"github.com/lazoquic/lazo/conn/congestion"
	"github.com/lazoquic/lazo/internal/tape"
)

// ReplayOptions says what to add to a recording. The zero value adds nothing.
type ReplayOptions struct {
	// Congestion takes the place of a Config.Congestion that is not of package congestion. A
	// recording does not have it, and cannot be replayed without it.
	Congestion func(congestion.Params) congestion.Controller

	// Note gets what [Conn.Note] has recorded, at the same place. It may call the Controller of c,
	// and look at c. b is valid during the call.
	Note func(c *Conn, b []byte)

	// QLog and Trace are those of each Config, whatever was there when it was recorded.
	QLog  func(id ConnID, server bool) io.WriteCloser
	Trace func(*TraceEvent)
}

// A Replay does again what an Endpoint did when [EndpointConfig.Record] recorded it: the same
// calls, with the same arguments, at the same times, and with the same random bytes. crypto/tls
// does not run; what it returned comes from the recording, too. The Endpoint of a Replay may be
// looked at between two steps, but no verb of it may be called.
type Replay struct{ p *player }

// A DivergenceError says where an Endpoint did something else than was recorded. Up to there it did
// the same.
type DivergenceError struct {
	Entry  int           // of the recording, from 1 on: that of the call
	At     time.Duration // since the first time of the recording
	Call   string        // what was called then, for example "Receive"
	Reason string        // what is different
}

// Error says where and how.
func (e *DivergenceError) Error() string {
	return fmt.Sprintf("conn: the replay diverges at entry %d, %v after the beginning, in %s: %s", e.Entry, e.At, e.Call, e.Reason)
}

// NewReplay returns a Replay of the recording r, of which nothing is done yet. It fails if r is not
// a recording, or is one of another version. A nil opt adds nothing.
func NewReplay(r io.Reader, opt *ReplayOptions) (*Replay, error) {
	in, err := tape.NewReader(r, tapeVersion)
	if err != nil {
		return nil, fmt.Errorf("conn: %w", err)
	}
	p := &player{in: in, configs: make(map[uint64]*Config), groups: make(map[uint64]*StreamGroup)}
	if opt != nil {
		p.opt = *opt
	}
	a, ok := p.read()
	p.step = p.entries
	if !ok || a.kind != tapeEndpoint {
		return nil, errors.New("conn: the recording does not begin with an Endpoint")
	}
	cfg := EndpointConfig{Rand: playedRand{p}, play: p}
	if err := recalled(a.str(0), &cfg, func(name string, _ json.RawMessage) error { return p.provide(&cfg, name) }); err != nil {
		return nil, err
	}
	if cfg.Server = p.configs[a.num(0)]; p.err != nil {
		return nil, p.err
	}
	if p.e, err = NewEndpoint(&cfg); err != nil {
		return nil, err
	}
	return &Replay{p}, nil
}

// Step does the next call. It returns io.EOF at the end of the recording, and a [DivergenceError]
// if the Endpoint does something else than was recorded. From then on it returns the same error.
func (r *Replay) Step() error {
	p := r.p
	if p.err != nil {
		return p.err
	}
	a, ok := p.read()
	if ok {
		p.step = p.entries
	}
	switch {
	case !ok:
	case a.kind < callReceive:
		p.diverge("the recording has %s now, which the Endpoint does not ask for", kindName(a.kind))
	default:
		p.perform(a)
	}
	return p.err
}

// Run does all calls. It returns nil at the end of the recording, or the error of Step.
func (r *Replay) Run() error {
	for {
		if err := r.Step(); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// Endpoint returns the Endpoint of the replay.
func (r *Replay) Endpoint() *Endpoint { return r.p.e }

// Position returns the number of the entry of the last step, its time since the beginning, and the
// call.
func (r *Replay) Position() (entry int, at time.Duration, call string) {
	return r.p.step, r.p.at, kindName(r.p.call)
}

// A player stands for the outside world of the Endpoint of a Replay. The methods of a nil player do
// nothing.
type player struct {
	in      *tape.Reader
	entry   tape.Entry
	opt     ReplayOptions
	e       *Endpoint
	entries int // that were read
	step    int // number of the entry of the call that Step does
	base    time.Time
	at      time.Duration
	call    uint64
	depth   int // of calls inside one another
	err     error

	configs map[uint64]*Config
	groups  map[uint64]*StreamGroup
	conns   []*Conn
	streams []*Stream
	buf     []byte // of Transmit
	chunk   *Chunk // to exchange
}

// diverge ends the replay.
func (p *player) diverge(format string, args ...any) {
	if p.err == nil {
		p.err = &DivergenceError{Entry: p.step, At: p.at, Call: kindName(p.call), Reason: fmt.Sprintf(format, args...)}
	}
}

// read returns the next entry. It takes in configurations itself. At the end, or after an error, it
// reports false.
func (p *player) read() (a arguments, ok bool) {
	for p.err == nil {
		if p.err = p.in.Next(&p.entry); p.err != nil {
			break
		}
		p.entries++
		a := arguments{p: p, kind: p.entry.Kind, numbers: append([]uint64(nil), p.entry.Numbers...)}
		for _, s := range p.entry.Strings {
			a.strings = append(a.strings, bytes.Clone(s))
		}
		switch a.kind {
		case tapeConfig:
			p.config(a)
		case tapeEpoch:
			p.base = time.Unix(0, int64(a.num(0)))
		default:
			return a, true
		}
	}
	return arguments{p: p}, false
}

// config takes in a configuration.
func (p *player) config(a arguments) {
	cfg := new(Config)
	err := recalled(a.str(0), cfg, func(name string, value json.RawMessage) error { return p.provideConn(cfg, name, value) })
	cfg.QLog, cfg.Trace = p.opt.QLog, p.opt.Trace
	if p.configs[a.num(0)] = cfg; err != nil && p.err == nil {
		p.err = err
	}
}

// maxDepth bounds how many calls may be made inside one another. A callback that makes a call is at
// the second one.
const maxDepth = 8

// answer returns what the recording has for something that the Endpoint asks for. If the callback
// made calls itself, it makes them again.
func (p *player) answer(kind uint64) arguments {
	for {
		a, ok := p.read()
		switch {
		case !ok:
			return a
		case a.kind >= callReceive && p.e == nil:
			p.diverge("the recording has %s before there is an Endpoint", kindName(a.kind))
		case a.kind >= callReceive && p.depth == maxDepth:
			p.diverge("the recording has more than %d calls inside one another", maxDepth)
		case a.kind >= callReceive:
			p.perform(a)
		case a.kind != kind:
			p.diverge("the Endpoint asks for %s, and the recording has %s", kindName(kind), kindName(a.kind))
			return arguments{p: p}
		default:
			return a
		}
	}
}

// result compares the result of a call with that of the recording.
func (p *player) result(numbers []uint64, strings ...[]byte) {
	a, ok := p.read()
	switch {
	case !ok:
	case a.kind != tapeResult:
		p.diverge("the Endpoint has a result, and the recording has %s", kindName(a.kind))
	default:
		if d := difference(p.call, a, numbers, strings); d != "" {
			p.diverge("%s", d)
		}
	}
}

// began notes a new connection.
func (p *player) began(c *Conn) {
	if p != nil {
		p.conns = append(p.conns, c)
	}
}

// opened notes a new stream.
func (p *player) opened(s *Stream) {
	if p != nil {
		p.streams = append(p.streams, s)
	}
}

// session returns the version of the session that was resumed.
func (p *player) session(version uint32) uint32 {
	if p == nil {
		return version
	}
	return uint32(p.answer(tapeSession).num(0))
}

// An entry of a step of TLS begins with so many numbers and strings. Its events follow.
const tlsNumbers, tlsStrings = 6, 4

// tls puts into w what crypto/tls returned.
func (p *player) tls(w *TLSWork) {
	if p == nil {
		return
	}
	a := p.answer(tapeTLS)
	if p.err != nil {
		return
	}
	if len(a.numbers) < tlsNumbers || len(a.strings) < tlsStrings {
		p.diverge("%s of the recording is too short", kindName(a.kind))
		return
	}
	if a.num(0) != 0 {
		w.err = &replayedError{string(a.str(0)), a.num(1)}
	}
	w.paused, w.params = a.num(2) != 0, a.str(1)
	w.conn.tls.replayed = &tls.ConnectionState{
		Version: uint16(a.num(3)), CipherSuite: uint16(a.num(4)), DidResume: a.num(5) != 0, HandshakeComplete: true,
		NegotiatedProtocol: string(a.str(2)), ServerName: string(a.str(3)),
	}
	n, s := a.numbers[tlsNumbers:], a.strings[tlsStrings:]
	for len(n) >= 5 && len(s) >= 1 && n[4] <= uint64(len(s)-1) {
		w.events = append(w.events, tls.QUICEvent{
			Kind: tls.QUICEventKind(n[0]), Level: tls.QUICEncryptionLevel(n[1]), Suite: uint16(n[2]), Data: s[0],
			SessionState: &tls.SessionState{EarlyData: n[3] != 0, Extra: s[1 : 1+n[4]]},
		})
		n, s = n[5:], s[1+n[4]:]
	}
}

// A replayedError is an error of crypto/tls that comes from a recording.
type replayedError struct {
	text  string
	alert uint64 // and 1
}

func (e *replayedError) Error() string { return e.text }

func (e *replayedError) Unwrap() error {
	if e.alert == 0 {
		return nil
	}
	return tls.AlertError(e.alert - 1)
}

// arguments are an entry that may be kept.
type arguments struct {
	p       *player
	kind    uint64
	numbers []uint64
	strings [][]byte
}

// num returns a number of the entry, 0 if it is not there.
func (a arguments) num(i int) uint64 {
	if i >= len(a.numbers) {
		a.p.diverge("%s of the recording lacks a number", kindName(a.kind))
		return 0
	}
	return a.numbers[i]
}

// str returns a byte string of the entry, nil if it is not there.
func (a arguments) str(i int) []byte {
	if i >= len(a.strings) {
		a.p.diverge("%s of the recording lacks bytes", kindName(a.kind))
		return nil
	}
	return a.strings[i]
}

// time returns a number of the entry that is a time.
func (a arguments) time(i int) time.Time { return a.p.base.Add(time.Duration(a.num(i))) }

// addr returns a byte string of the entry that is an address.
func (a arguments) addr(i int) (addr netip.AddrPort) {
	if addr.UnmarshalBinary(a.str(i)) != nil {
		a.p.diverge("%s of the recording has no address", kindName(a.kind))
	}
	return addr
}

// err returns a byte string of the entry that is the text of an error.
func (a arguments) err(i int) error {
	if b := a.str(i); len(b) > 0 {
		return errors.New(string(b))
	}
	return nil
}

// conn returns the connection with the serial number at i.
func (a arguments) conn(i int) *Conn { return find(a, a.p.conns, a.num(i)) }

// stream returns the stream with the serial number at 0.
func (a arguments) stream() *Stream { return find(a, a.p.streams, a.num(0)) }

// find returns what has a serial number.
func find[T any](a arguments, all []*T, serial uint64) *T {
	if serial == 0 || serial > uint64(len(all)) {
		a.p.diverge("%s concerns number %d, and there are %d", kindName(a.kind), serial, len(all))
		return nil
	}
	return all[serial-1]
}
