package qlog

import (
	"strconv"
	"time"
)

// A Timer is a timer of a connection.
type Timer struct {
	Kind  TimerKind
	Space string // "" if it does not belong to a packet number space
}

// A TimerKind is the purpose of a timer.
type TimerKind uint8

// The kinds of timers.
const (
	TimerLoss TimerKind = iota
	TimerPTO
	TimerAck
	TimerPath
	TimerHandshake
	TimerIdle
)

// timerKinds has the names of the kinds, by format. Version 0.3 knows only the timers of loss
// detection.
var timerKinds = [...][2]string{
	TimerLoss:      {"loss_timeout", "ack"},
	TimerPTO:       {"pto", "pto"},
	TimerAck:       {"ack", ""},
	TimerPath:      {"path_validation", ""},
	TimerHandshake: {"handshake_timeout", ""},
	TimerIdle:      {"idle_timeout", ""},
}

// Names of the packet number spaces.
const (
	SpaceInitial   = "initial"
	SpaceHandshake = "handshake"
	SpaceApp       = "application_data"
)

// TimerSet writes that a timer expires after d.
func (w *Writer) TimerSet(now time.Time, t Timer, d time.Duration) {
	if w.timer(now, t, "set") {
		w.millis("delta", d)
		w.finish()
	}
}

// TimerExpired writes that a timer expired.
func (w *Writer) TimerExpired(now time.Time, t Timer) {
	if w.timer(now, t, "expired") {
		w.finish()
	}
}

// TimerCancelled writes that a timer does not run any more.
func (w *Writer) TimerCancelled(now time.Time, t Timer) {
	if w.timer(now, t, "cancelled") {
		w.finish()
	}
}

// timer begins a record about a timer. It reports false if the format does not know the timer.
func (w *Writer) timer(now time.Time, t Timer, what string) bool {
	kind := timerKinds[t.Kind][w.format]
	if kind == "" {
		return false
	}
	w.begin(now, timerUpdated)
	w.str("timer_type", kind)
	if t.Space != "" {
		w.str("packet_number_space", t.Space)
	}
	w.str("event_type", what)
	return true
}

// A Key is the secret that protects the packets of one side, at one level of encryption.
type Key struct {
	Server bool   // a key of the server
	Level  string // initial, handshake, 0rtt or 1rtt
}

// Levels of encryption.
const (
	KeyInitial   = "initial"
	KeyHandshake = "handshake"
	KeyEarly     = "0rtt"
	KeyApp       = "1rtt"
)

func (w *Writer) keyType(k Key) {
	w.key("key_type")
	w.b = append(w.b, '"')
	w.b = append(w.b, vantage(k.Server)...)
	w.b = append(w.b, '_')
	w.b = append(w.b, k.Level...)
	w.b = append(w.b, `_secret"`...)
}

// newKey appends what stands for a key that is new. Version 0.3 wants its bytes, which nobody
// should see.
func (w *Writer) newKey() {
	if w.format == V03 {
		w.str("new", "")
	}
}

// phase appends how many keys of its level came before a key.
func (w *Writer) phase(n uint64) {
	if w.format == V03 {
		w.uint("generation", n)
	} else {
		w.uint("key_phase", n)
	}
}

// KeyInstalled writes that TLS has provided a key.
func (w *Writer) KeyInstalled(now time.Time, k Key) {
	w.begin(now, keyUpdated)
	w.keyType(k)
	w.newKey()
	if k.Level == KeyApp {
		w.phase(0)
	}
	w.str("trigger", "tls")
	w.finish()
}

// KeyUpdated writes that the 1-RTT keys of one side changed to those of a phase. server says
// whether they are the keys of the server, and byRemote whether the remote side began it.
func (w *Writer) KeyUpdated(now time.Time, server bool, phase uint64, byRemote bool) {
	w.begin(now, keyUpdated)
	w.keyType(Key{server, KeyApp})
	w.newKey()
	w.phase(phase)
	if byRemote {
		w.str("trigger", "remote_update")
	} else {
		w.str("trigger", "local_update")
	}
	w.finish()
}

// KeyDiscarded writes that a key was discarded. phase counts for 1-RTT keys.
func (w *Writer) KeyDiscarded(now time.Time, k Key, phase uint64) {
	w.begin(now, keyDiscarded)
	w.keyType(k)
	if k.Level == KeyApp {
		w.phase(phase)
	}
	w.finish()
}

// RecoveryParameters are the initial values of loss detection and congestion control.
type RecoveryParameters struct {
	ReorderingThreshold  uint64  // packets
	TimeThreshold        float64 // round trips
	Granularity          time.Duration
	InitialRTT           time.Duration
	MaxDatagram          uint64 // bytes
	InitialWindow        uint64 // bytes
	PersistentCongestion uint64 // probe timeouts
}

// RecoveryParametersSet writes the parameters of recovery.
func (w *Writer) RecoveryParametersSet(now time.Time, p RecoveryParameters) {
	w.begin(now, recoveryParametersSet)
	w.uint("reordering_threshold", p.ReorderingThreshold)
	w.key("time_threshold")
	w.b = strconv.AppendFloat(w.b, p.TimeThreshold, 'g', -1, 64)
	w.uint("timer_granularity", uint64(p.Granularity/time.Millisecond))
	w.millis("initial_rtt", p.InitialRTT)
	w.uint("max_datagram_size", p.MaxDatagram)
	w.uint("initial_congestion_window", p.InitialWindow)
	w.uint("persistent_congestion_threshold", p.PersistentCongestion)
	w.finish()
}

// maxAcked bounds the packet numbers of a record. More of them make another record.
const maxAcked = 512

// Acked notes a packet that was newly acknowledged, for PacketsAcked.
func (w *Writer) Acked(number uint64) { w.acked = append(w.acked, number) }

// PacketsAcked writes the packets that Acked noted, if there are any.
func (w *Writer) PacketsAcked(now time.Time, space string) {
	for rest := w.acked; len(rest) > 0; {
		n := min(len(rest), maxAcked)
		w.begin(now, packetsAcked)
		w.str("packet_number_space", space)
		w.array("packet_numbers")
		for _, pn := range rest[:n] {
			w.elem()
			w.b = appendUint(w.b, pn)
		}
		w.endArray()
		w.finish()
		rest = rest[n:]
	}
	w.acked = w.acked[:0]
}

// PacketBuffered writes that a packet came before its keys.
func (w *Writer) PacketBuffered(now time.Time, typ string, size int) {
	w.begin(now, packetBuffered)
	w.open("header")
	w.str("packet_type", typ)
	w.end()
	w.open("raw")
	w.uint("length", uint64(size))
	w.end()
	w.str("trigger", "keys_unavailable")
	w.finish()
}
