package qlog

import (
	"context"
	"net/netip"

	"github.com/quic-go/quic-go/qlogwriter"
)

// RedactIPs returns a Config.Tracer that writes to the traces of tracer, with other addresses.
// redact returns what takes the place of an address, and whether something does. If either is nil,
// RedactIPs returns tracer.
func RedactIPs(
	tracer func(context.Context, bool, ConnectionID) qlogwriter.Trace,
	redact func(addr netip.AddrPort, isLocal bool) (string, bool),
) func(context.Context, bool, ConnectionID) qlogwriter.Trace {
	if tracer == nil || redact == nil {
		return tracer
	}
	return func(ctx context.Context, isClient bool, id ConnectionID) qlogwriter.Trace {
		t := tracer(ctx, isClient, id)
		if t == nil {
			return nil
		}
		return redactingTrace{t, redact}
	}
}

// A redactingTrace is a Trace whose Recorders change addresses.
type redactingTrace struct {
	trace  qlogwriter.Trace
	redact func(addr netip.AddrPort, isLocal bool) (string, bool)
}

// AddProducer is part of qlogwriter.Trace.
func (t redactingTrace) AddProducer() qlogwriter.Recorder {
	r := t.trace.AddProducer()
	if r == nil {
		return nil
	}
	return redactingRecorder{r, t.redact}
}

type redactingRecorder struct {
	qlogwriter.Recorder
	redact func(addr netip.AddrPort, isLocal bool) (string, bool)
}

// RecordEvent is part of qlogwriter.Recorder.
func (r redactingRecorder) RecordEvent(ev qlogwriter.Event) {
	switch e := ev.(type) {
	case StartedConnection:
		r.endpoint(e.Local, true, &e.RedactedLocal)
		r.endpoint(e.Remote, false, &e.RedactedRemote)
		ev = e
	case TupleAssigned:
		r.endpoint(e.Local, true, &e.RedactedLocal)
		r.endpoint(e.Remote, false, &e.RedactedRemote)
		ev = e
	case ParametersSet:
		if e.PreferredAddress == nil {
			break
		}
		a := *e.PreferredAddress
		r.address(a.IPv4, e.Initiator == InitiatorLocal, &a.RedactedIPv4)
		r.address(a.IPv6, e.Initiator == InitiatorLocal, &a.RedactedIPv6)
		e.PreferredAddress = &a
		ev = e
	}
	r.Recorder.RecordEvent(ev)
}

func (r redactingRecorder) endpoint(i TupleEndpointInfo, isLocal bool, to **string) {
	if i.IPv4.IsValid() {
		r.address(i.IPv4, isLocal, to)
	} else {
		r.address(i.IPv6, isLocal, to)
	}
}

// address sets to what takes the place of an address.
func (r redactingRecorder) address(a netip.AddrPort, isLocal bool, to **string) {
	if !a.IsValid() {
		return
	}
	if s, ok := r.redact(a, isLocal); ok {
		*to = &s
	}
}
