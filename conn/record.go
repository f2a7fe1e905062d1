package conn

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net/netip"
	"time"

	"github.com/lazoquic/lazo/internal/tape"
)

// A recording holds everything that an Endpoint gets from outside, in order: the calls with their
// arguments, and what it asks for during a call. So a Replay can do it again. The results of calls
// are in it too, so that a Replay can compare them.

// tapeVersion is the version of the entries below. A change of their meaning needs another one.
const tapeVersion = 2

// The kinds of entries. Calls on a Conn, Stream or StreamGroup begin with its serial number.
const (
	tapeEndpoint uint64 = iota + 1 // Server, EndpointConfig
	tapeConfig                     // number; Config
	tapeEpoch                      // the first time, in Unix nanoseconds
	tapeResult                     // of the call before

	// What an Endpoint asks for in the middle of a call.
	tapeRand      // bytes of EndpointConfig.Rand
	tapeConnID    // an ID of EndpointConfig.ConnIDs, or the length of one
	tapeAdmission // of Admit
	tapeChoice    // of ConfigForClient: a config, or an error
	tapeTicket    // of TakeTicket
	tapeWindow    // of AllowWindowIncrease
	tapeEarly     // of AcceptEarlyData
	tapeToken     // of TokenCache.TakeToken
	tapeSession   // version of the TLS session to resume
	tapeNonQUIC   // NonQUIC took a datagram
	tapeElsewhere // of Elsewhere
	tapeScheduler // whether Config.Scheduler has made one
	tapeSchedule  // of Scheduler.Schedule
	tapeTLS       // what crypto/tls made of a step

	// The calls.
	callReceive
	callHandleTimeout
	callNextEvent
	callTransmit
	callComplete
	callDial
	callSendFailed
	callUndelivered
	callSetTokenKeys
	callSetServer
	callStopAccepting
	callEndpointClose
	callEndpointHold

	callHold
	callNote
	callSetTimer
	callSetKeepAlive
	callUpdateKeys
	callClose
	callRefuse
	callAbandon
	callSendDatagram
	callReceiveDatagram
	callProbe
	callMigrate
	callSwitch
	callOpenPath
	callAbandonPath
	callSetPathBackup
	callSetTicketData
	callGrowWindow
	callGrowStreams
	callOpenStream

	callRead
	callPeek
	callDiscard
	callWrite
	callCloseWrite
	callReset
	callResetAt
	callResetBehind
	callStopSending
	callRelease
	callSetPriority
	callSetRedundant
	callTakeChunk
	callWriteChunk
	callJoin
	callSetSendMax
	callSetReceiveMax

	callTakeBack // of a Stream, as those before callSetSendMax
	callNotifyUnsent
	tapeKinds
)

// A recorder writes a recording. All methods of a nil recorder do nothing.
type recorder struct {
	out    *tape.Writer
	base   time.Time // the first time
	groups uint64    // serial number of the newest StreamGroup

	// The newest configs, so that one that many connections share is there once.
	configs [64]namedConfig
	named   uint64 // how many configs have a number

	scratch [256]byte
}

// A namedConfig is a config of a recording.
type namedConfig struct {
	number uint64
	fields []byte
}

// newRecorder begins the recording of an Endpoint with a configuration as it was given. full is
// that with all defaults; the recorder makes it record what the Endpoint asks for.
func newRecorder(full, given *EndpointConfig) *recorder {
	r := &recorder{out: tape.NewWriter(full.Record, tapeVersion)}
	cfg := *given
	cfg.ResetKey, cfg.TokenKeys, cfg.TakeTicket = full.ResetKey, full.TokenKeys, full.TakeTicket
	r.out.Write(tapeEndpoint, []uint64{r.config(given.Server)}, describe(&cfg))
	r.watch(full)
	return r
}

// call records a call without bytes.
func (r *recorder) call(kind uint64, numbers ...uint64) {
	if r != nil {
		r.out.Write(kind, numbers)
	}
}

// bytes records a call with bytes.
func (r *recorder) bytes(kind uint64, b []byte, numbers ...uint64) {
	if r != nil {
		r.out.Write(kind, numbers, b)
	}
}

// verb records a call that moves the clock. What was recorded is safe from then on: the call may be
// one that ends the program.
func (r *recorder) verb(kind uint64, now time.Time, numbers ...uint64) {
	if r != nil {
		r.out.Write(kind, append([]uint64{r.time(now)}, numbers...))
		r.out.Flush()
	}
}

// result records what the call before has returned.
func (r *recorder) result(numbers ...uint64) {
	if r != nil {
		r.out.Write(tapeResult, numbers)
	}
}

// failure records the error of the call before, or that there was none, and numbers.
func (r *recorder) failure(err error, numbers ...uint64) {
	if r != nil {
		r.out.Write(tapeResult, numbers, errorText(err))
	}
}

// data records what the call before has returned: how many bytes, their checksum, and the error. b
// is copied on its way into the checksum, so that readers without a recording may have their
// buffers on the stack.
func (r *recorder) data(b []byte, err error) {
	if r == nil {
		return
	}
	sum := uint32(0)
	for rest := b; len(rest) > 0; {
		n := copy(r.scratch[:], rest)
		sum = crc32.Update(sum, checksums(), r.scratch[:n])
		rest = rest[n:]
	}
	r.failure(err, uint64(len(b)), uint64(sum))
}

// dataResult returns the numbers that data records.
func dataResult(b []byte) []uint64 {
	return []uint64{uint64(len(b)), uint64(crc32.Checksum(b, checksums()))}
}

// checksums returns the table of CRC-32C, for which processors have an instruction.
func checksums() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }

// errorText returns the text of an error, nothing for nil.
func errorText(err error) []byte {
	if err == nil {
		return nil
	}
	return []byte(err.Error())
}

// time returns t as it stands in a recording: as a distance from the first time.
func (r *recorder) time(t time.Time) uint64 {
	if r.base.IsZero() {
		r.base = t
		r.out.Write(tapeEpoch, []uint64{uint64(t.UnixNano())})
	}
	return uint64(t.Sub(r.base))
}

// config returns the number of a config, 0 for nil. It records one that is new.
func (r *recorder) config(c *Config) uint64 {
	if c == nil {
		return 0
	}
	fields := describe(c)
	for _, known := range r.configs {
		if bytes.Equal(known.fields, fields) {
			return known.number
		}
	}
	r.named++
	r.configs[r.named%uint64(len(r.configs))] = namedConfig{r.named, fields}
	r.out.Write(tapeConfig, []uint64{r.named}, fields)
	return r.named
}

// reason records a call of Close or Refuse.
func (r *recorder) reason(kind uint64, c *Conn, code uint64, reason string) {
	if r != nil {
		r.bytes(kind, []byte(reason), c.serial, code)
	}
}

// addr records a call of Probe, Migrate or OpenPath.
func (r *recorder) addr(kind uint64, c *Conn, a netip.AddrPort) {
	if r != nil {
		r.bytes(kind, addrBytes(a), c.serial)
	}
}

// write records a call of Write or WriteShared: of p what is taken, and one byte more if there is
// more. The call returns the same for that.
func (r *recorder) write(s *Stream, p []byte, shared bool) {
	if r != nil {
		r.bytes(callWrite, p[:min(len(p), s.Available()+1)], uint64(s.serial), flag(shared))
	}
}

// sendDatagram records a call of SendDatagram. One byte more than a datagram may have is enough.
func (r *recorder) sendDatagram(c *Conn, b []byte, opt DatagramOptions) {
	if r != nil {
		b = b[:min(len(b), c.MaxDatagramSize()+1)]
		r.bytes(callSendDatagram, b, c.serial, uint64(opt.MaxAge), flag(opt.Notify), flag(opt.Redundant))
	}
}

// receive records a call of Receive.
func (r *recorder) receive(now time.Time, d *Datagram) {
	if r != nil {
		r.out.Write(callReceive, []uint64{r.time(now), uint64(d.SegmentSize), uint64(d.ECN)},
			addrBytes(d.Remote), addrBytes(d.Local), d.Data)
		r.out.Flush()
	}
}

// undelivered records a call of Undelivered.
func (r *recorder) undelivered(now time.Time, d *Datagram, err error) {
	if r != nil {
		r.out.Write(callUndelivered, []uint64{r.time(now)},
			addrBytes(d.Remote), addrBytes(d.Local), d.Data, errorText(err))
	}
}

// sendFailed records a call of SendFailed.
func (r *recorder) sendFailed(now time.Time, b *Burst, err error) {
	if r != nil {
		n := []uint64{r.time(now), uint64(b.N), uint64(b.SegmentSize), uint64(b.ECN), b.Conn.tapeSerial()}
		r.out.Write(callSendFailed, n, addrBytes(b.Remote), addrBytes(b.Local), errorText(err))
	}
}

// dial records a call of Dial.
func (r *recorder) dial(now time.Time, to *Target, cfg *Config) {
	if r != nil {
		t, n := r.time(now), r.config(cfg)
		r.out.Write(callDial, []uint64{t, n, flag(to.Token != nil)},
			addrBytes(to.Remote), addrBytes(to.Local), []byte(to.ServerName), to.Token)
	}
}

// setServer records a call of SetServer.
func (r *recorder) setServer(cfg *Config) {
	if r != nil {
		r.call(callSetServer, r.config(cfg))
	}
}

// setTokenKeys records a call of SetTokenKeys.
func (r *recorder) setTokenKeys(keys [][32]byte) {
	if r != nil {
		var all []byte
		for _, k := range keys {
			all = append(all, k[:]...)
		}
		r.bytes(callSetTokenKeys, all)
	}
}

// setTimer records a call of SetTimer.
func (r *recorder) setTimer(c *Conn, at time.Time) {
	if r == nil {
		return
	}
	if at.IsZero() {
		r.call(callSetTimer, c.serial, 0, 0)
		return
	}
	t := r.time(at)
	r.call(callSetTimer, c.serial, 1, t)
}

// join records that a stream counts in a group. A group that is new here has its limits beside it.
func (r *recorder) join(s *Stream, g *StreamGroup, header uint64) {
	if r == nil {
		return
	}
	if g.serial == 0 {
		r.groups++
		g.serial, g.rec = r.groups, r
	}
	r.call(callJoin, s.tapeSerial(), g.serial, header, g.sendMax, g.recvMax)
}

// transmit records a call of Transmit.
func (r *recorder) transmit(now time.Time, size, maxSegments int) {
	if r != nil {
		r.call(callTransmit, r.time(now), uint64(size), uint64(maxSegments))
	}
}

// transmitted records the result of Transmit: what was sent where, and a checksum of each datagram.
func (r *recorder) transmitted(buf []byte, b Burst, ok bool) {
	if r != nil {
		n, addrs := burstResult(buf, b, ok)
		r.out.Write(tapeResult, n, addrs...)
	}
}

// burstResult returns how a recording describes a burst. Numbers from the fifth on are checksums of
// its datagrams.
func burstResult(buf []byte, b Burst, ok bool) (numbers []uint64, addrs [][]byte) {
	if !ok {
		return []uint64{0}, nil
	}
	numbers = []uint64{uint64(b.N), uint64(b.SegmentSize), uint64(b.ECN), b.Conn.tapeSerial()}
	for rest := buf[:b.N]; len(rest) > 0; {
		n := len(rest)
		if b.SegmentSize > 0 {
			n = min(n, b.SegmentSize)
		}
		numbers = append(numbers, uint64(crc32.Checksum(rest[:n], checksums())))
		rest = rest[n:]
	}
	return numbers, [][]byte{addrBytes(b.Remote), addrBytes(b.Local)}
}

// eventResult returns how a recording describes an event.
func eventResult(ev *Event) []uint64 {
	return []uint64{uint64(ev.Kind), ev.Conn.tapeSerial(), ev.Stream.tapeSerial(), ev.Code, ev.ID}
}

// tapeSerial returns the serial number of a connection, 0 for nil.
func (c *Conn) tapeSerial() uint64 {
	if c == nil {
		return 0
	}
	return c.serial
}

// tapeSerial returns the serial number of a stream, 0 for nil.
func (s *Stream) tapeSerial() uint64 {
	if s == nil {
		return 0
	}
	return uint64(s.serial)
}

// addrBytes returns an address as it stands in a recording.
func addrBytes(a netip.AddrPort) []byte {
	b, _ := a.AppendBinary(nil)
	return b
}

func flag(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}

// tls records what crypto/tls made of a step.
func (r *recorder) tls(w *TLSWork) {
	if r == nil {
		return
	}
	state := w.q.ConnectionState()
	alert := uint64(0)
	if a, ok := errors.AsType[tls.AlertError](w.err); ok {
		alert = uint64(a) + 1
	}
	n := []uint64{flag(w.err != nil), alert, flag(w.paused),
		uint64(state.Version), uint64(state.CipherSuite), flag(state.DidResume)}
	s := [][]byte{errorText(w.err), w.params, []byte(state.NegotiatedProtocol), []byte(state.ServerName)}
	for i := range w.events {
		ev := &w.events[i]
		session := ev.SessionState
		if session == nil {
			session = new(tls.SessionState)
		}
		n = append(n, uint64(ev.Kind), uint64(ev.Level), uint64(ev.Suite), flag(session.EarlyData), uint64(len(session.Extra)))
		s = append(append(s, ev.Data), session.Extra...)
	}
	r.out.Write(tapeTLS, n, s...)
}

// close ends the recording.
func (r *recorder) close() {
	if r != nil {
		r.out.Write(callEndpointClose, nil)
		r.out.Flush()
	}
}

// watch puts itself between an Endpoint and all that it asks for.
func (r *recorder) watch(cfg *EndpointConfig) {
	cfg.Rand = watchedRand{r, cfg.Rand}
	if ids := cfg.ConnIDs; ids != nil {
		cfg.ConnIDs = watchedIDs{r, ids}
	}
	if f := cfg.Admit; f != nil {
		cfg.Admit = func(in AdmissionRequest) Admission {
			a := f(in)
			r.call(tapeAdmission, uint64(a))
			return a
		}
	}
	if f := cfg.ConfigForClient; f != nil {
		cfg.ConfigForClient = func(in AdmissionRequest) (*Config, error) {
			c, err := f(in)
			n := r.config(c)
			r.out.Write(tapeChoice, []uint64{n, flag(err != nil)}, errorText(err))
			return c, err
		}
	}
	if f := cfg.NonQUIC; f != nil {
		cfg.NonQUIC = func(now time.Time, d Datagram) {
			f(now, d)
			r.call(tapeNonQUIC)
		}
	}
	if f := cfg.Elsewhere; f != nil {
		cfg.Elsewhere = func(now time.Time, d Datagram) bool {
			ok := f(now, d)
			r.call(tapeElsewhere, flag(ok))
			return ok
		}
	}
	f := cfg.TakeTicket
	cfg.TakeTicket = func(id TicketID) bool {
		ok := f(id)
		r.call(tapeTicket, flag(ok))
		return ok
	}
}

// scheduler records what Config.Scheduler has made, and puts itself before it.
func (r *recorder) scheduler(s Scheduler) Scheduler {
	if r == nil {
		return s
	}
	if r.call(tapeScheduler, flag(s != nil)); s == nil {
		return nil
	}
	return watchedScheduler{r, s}
}

type watchedScheduler struct {
	r *recorder
	Scheduler
}

func (w watchedScheduler) Schedule(dst []PathID, s *SendState) []PathID {
	all := w.Scheduler.Schedule(dst, s)
	var n []uint64
	for _, id := range all {
		n = append(n, uint64(id))
	}
	w.r.call(tapeSchedule, n...)
	return all
}

type watchedRand struct {
	r *recorder
	io.Reader
}

func (w watchedRand) Read(b []byte) (int, error) {
	n, err := w.Reader.Read(b)
	w.r.out.Write(tapeRand, nil, b[:n], errorText(err))
	return n, err
}

type watchedIDs struct {
	r *recorder
	ConnIDSource
}

func (w watchedIDs) Generate(b *[20]byte) int {
	n := w.ConnIDSource.Generate(b)
	w.r.bytes(tapeConnID, b[:], uint64(n))
	return n
}

func (w watchedIDs) Len(b []byte) int {
	n := w.ConnIDSource.Len(b)
	w.r.bytes(tapeConnID, nil, uint64(n))
	return n
}

// kindName returns the name of a kind of entries, for people.
func kindName(kind uint64) string {
	if kind < uint64(len(kindNames)) && kindNames[kind] != "" {
		return kindNames[kind]
	}
	return fmt.Sprintf("kind %d", kind)
}

// kindNames are the names of the kinds of entries.
var kindNames = [tapeKinds]string{
	tapeEndpoint: "the configuration of the Endpoint", tapeConfig: "a Config", tapeEpoch: "the first time",
	tapeResult: "a result", tapeRand: "random bytes", tapeConnID: "a connection ID", tapeAdmission: "Admit",
	tapeChoice: "ConfigForClient", tapeTicket: "TakeTicket", tapeWindow: "AllowWindowIncrease",
	tapeEarly: "AcceptEarlyData", tapeToken: "TakeToken", tapeSession: "a TLS session", tapeNonQUIC: "NonQUIC",
	tapeElsewhere: "Elsewhere", tapeScheduler: "Config.Scheduler", tapeSchedule: "Schedule",
	tapeTLS: "a step of TLS",

	callReceive: "Receive", callHandleTimeout: "HandleTimeout", callNextEvent: "NextEvent", callTransmit: "Transmit",
	callComplete: "Complete", callDial: "Dial", callSendFailed: "SendFailed", callUndelivered: "Undelivered",
	callSetTokenKeys: "SetTokenKeys", callSetServer: "SetServer", callStopAccepting: "StopAccepting",
	callEndpointClose: "Endpoint.Close", callEndpointHold: "Endpoint.Hold",

	callHold: "Conn.Hold", callNote: "Note", callSetTimer: "SetTimer", callSetKeepAlive: "SetKeepAlive", callUpdateKeys: "UpdateKeys",
	callClose: "Conn.Close", callRefuse: "Refuse", callAbandon: "Abandon", callSendDatagram: "SendDatagram",
	callReceiveDatagram: "ReceiveDatagram", callProbe: "Probe", callMigrate: "Migrate", callSwitch: "Switch", callOpenPath: "OpenPath",
	callAbandonPath: "AbandonPath", callSetPathBackup: "SetPathBackup", callSetTicketData: "SetTicketData",
	callGrowWindow: "GrowWindow", callGrowStreams: "GrowStreams", callOpenStream: "OpenStream",

	callRead: "Read", callPeek: "Peek", callDiscard: "Discard", callWrite: "Write", callCloseWrite: "CloseWrite",
	callReset: "Reset", callResetAt: "ResetAt", callResetBehind: "ResetBehind", callStopSending: "StopSending",
	callRelease: "Release", callSetPriority: "SetPriority", callSetRedundant: "SetRedundant", callTakeChunk: "TakeChunk", callWriteChunk: "WriteChunk",
	callJoin: "Join", callSetSendMax: "SetSendMax", callSetReceiveMax: "SetReceiveMax",
	callTakeBack: "TakeBack", callNotifyUnsent: "NotifyUnsent",
}
