package qlog

import (
	"time"

	"github.com/quic-go/quic-go/internal/fields"
	"github.com/quic-go/quic-go/internal/protocol"
	"github.com/quic-go/quic-go/qlogwriter/jsontext"
)

// A RecoveryParametersSet is the event of the parameters of loss recovery.
type RecoveryParametersSet struct {
	ReorderingThreshold     uint16 // packets
	PacketThresholdDisabled bool
	TimeThreshold           float64 // round trips
	TimerGranularity        time.Duration
	InitialCongestionWindow protocol.ByteCount
	InitialRTT              time.Duration
}

// Name is part of qlogwriter.Event.
func (RecoveryParametersSet) Name() string { return "quic:recovery_parameters_set" }

// Encode is part of qlogwriter.Event.
func (e RecoveryParametersSet) Encode(enc *jsontext.Encoder, _ time.Time) error {
	return fields.Object(enc, func(w *fields.Writer) {
		if e.PacketThresholdDisabled {
			w.Str("reordering_threshold", "disabled")
		} else {
			w.Uint("reordering_threshold", uint64(e.ReorderingThreshold))
		}
		w.Float("time_threshold", e.TimeThreshold)
		w.Uint("timer_granularity", uint64(e.TimerGranularity.Milliseconds()))
		w.UintIf("initial_congestion_window", uint64(e.InitialCongestionWindow))
		w.MillisIf("initial_rtt", e.InitialRTT)
	})
}

// A MetricsUpdated is the event of new estimates of a path.
type MetricsUpdated struct {
	MinRTT           time.Duration
	SmoothedRTT      time.Duration
	LatestRTT        time.Duration
	RTTVariance      time.Duration
	CongestionWindow int
	BytesInFlight    int
	PacketsInFlight  int
}

// Name is part of qlogwriter.Event.
func (MetricsUpdated) Name() string { return "recovery:metrics_updated" }

// Encode is part of qlogwriter.Event.
func (e MetricsUpdated) Encode(enc *jsontext.Encoder, _ time.Time) error {
	return fields.Object(enc, func(w *fields.Writer) {
		w.MillisIf("min_rtt", e.MinRTT)
		w.MillisIf("smoothed_rtt", e.SmoothedRTT)
		w.MillisIf("latest_rtt", e.LatestRTT)
		if e.RTTVariance != 0 || e.SmoothedRTT != 0 {
			w.Millis("rtt_variance", e.RTTVariance)
		}
		w.Int("congestion_window", int64(e.CongestionWindow))
		w.Int("bytes_in_flight", int64(e.BytesInFlight))
		w.Int("packets_in_flight", int64(e.PacketsInFlight))
	})
}

// A PTOCountUpdated is the event of another number of probe timeouts in a row.
type PTOCountUpdated struct {
	PTOCount uint32
}

// Name is part of qlogwriter.Event.
func (PTOCountUpdated) Name() string { return "recovery:metrics_updated" }

// Encode is part of qlogwriter.Event.
func (e PTOCountUpdated) Encode(enc *jsontext.Encoder, _ time.Time) error {
	return fields.Object(enc, func(w *fields.Writer) { w.Uint("pto_count", uint64(e.PTOCount)) })
}

// An MTUUpdated is the event of another size of the largest packets, in bytes.
type MTUUpdated struct {
	Value int
	Done  bool // the search has ended
}

// Name is part of qlogwriter.Event.
func (MTUUpdated) Name() string { return "recovery:mtu_updated" }

// Encode is part of qlogwriter.Event.
func (e MTUUpdated) Encode(enc *jsontext.Encoder, _ time.Time) error {
	return fields.Object(enc, func(w *fields.Writer) {
		w.Int("new", int64(e.Value))
		w.Bool("done", e.Done)
	})
}

// A TimerUpdated is the event of a timer.
type TimerUpdated struct {
	Type      TimerEventType
	TimerType TimerType
	EncLevel  EncryptionLevel // 0 if the timer belongs to none
	Time      time.Time       // for which it is set
}

// Name is part of qlogwriter.Event.
func (TimerUpdated) Name() string { return "recovery:loss_timer_updated" }

// Encode is part of qlogwriter.Event.
func (e TimerUpdated) Encode(enc *jsontext.Encoder, now time.Time) error {
	return fields.Object(enc, func(w *fields.Writer) {
		w.Str("event_type", string(e.Type))
		w.StrIf("timer_type", string(e.TimerType))
		if e.EncLevel != 0 {
			w.Str("packet_number_space", space(e.EncLevel))
		}
		if e.Type == TimerEventTypeSet {
			w.Millis("delta", e.Time.Sub(now))
		}
	})
}

// A CongestionStateUpdated is the event of another state of the congestion controller.
type CongestionStateUpdated struct {
	State CongestionState
}

// Name is part of qlogwriter.Event.
func (CongestionStateUpdated) Name() string { return "recovery:congestion_state_updated" }

// Encode is part of qlogwriter.Event.
func (e CongestionStateUpdated) Encode(enc *jsontext.Encoder, _ time.Time) error {
	return encodeNew(enc, string(e.State))
}

// An ECNStateUpdated is the event of another state of ECN validation.
type ECNStateUpdated struct {
	State   ECNState
	Trigger string
}

// Name is part of qlogwriter.Event.
func (ECNStateUpdated) Name() string { return "recovery:ecn_state_updated" }

// Encode is part of qlogwriter.Event.
func (e ECNStateUpdated) Encode(enc *jsontext.Encoder, _ time.Time) error {
	return fields.Object(enc, func(w *fields.Writer) {
		w.Str("new", string(e.State))
		w.StrIf("trigger", e.Trigger)
	})
}
