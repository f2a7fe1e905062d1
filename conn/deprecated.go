package conn

import (
	"github.com/lazoquic/lazo/conn/congestion"
	"github.com/lazoquic/lazo/internal/wire"
)

// Accept creates a connection.
//
// Deprecated: use [AdmissionAccept].
const Accept = AdmissionAccept

// Retry sends a Retry packet.
//
// Deprecated: use [AdmissionRetry].
const Retry = AdmissionRetry

// Refuse sends CONNECTION_CLOSE.
//
// Deprecated: use [AdmissionRefuse].
const Refuse = AdmissionRefuse

// Ignore drops the packet.
//
// Deprecated: use [AdmissionIgnore].
const Ignore = AdmissionIgnore

// Initial describes a client's Initial packet that belongs to no connection.
//
// Deprecated: use [AdmissionRequest].
type Initial = AdmissionRequest

// CE is the codepoint of packets that met congestion.
//
// Deprecated: use [ECNCE].
const CE = ECNCE

// AppendVarint appends v, which must be below 1<<62, to b.
//
// Deprecated: use package conn/varint.
func AppendVarint(b []byte, v uint64) []byte { return wire.AppendVarint(b, v) }

// ParseVarint parses the integer at the start of b; n is 0 if b is too short.
//
// Deprecated: use package conn/varint.
func ParseVarint(b []byte) (v uint64, n int) { return wire.ParseVarint(b) }

// Controller is a congestion controller.
//
// Deprecated: use [congestion.Controller].
type Controller = congestion.Controller

// ControllerParams describe the path that a Controller is for.
//
// Deprecated: use [congestion.Params].
type ControllerParams = congestion.Params

// Sent is a packet that counts towards bytes in flight.
//
// Deprecated: use [congestion.Sent].
type Sent = congestion.Sent

// Ack is what an ACK frame newly acknowledged.
//
// Deprecated: use [congestion.Ack].
type Ack = congestion.Ack

// Loss is what loss detection declared lost.
//
// Deprecated: use [congestion.Loss].
type Loss = congestion.Loss

// NewCubic returns the controller of RFC 9438.
//
// Deprecated: use [congestion.NewCubic].
func NewCubic(p congestion.Params) congestion.Controller { return congestion.NewCubic(p) }

// NewBBR returns version 3 of BBR.
//
// Deprecated: use [congestion.NewBBR].
func NewBBR(p congestion.Params) congestion.Controller { return congestion.NewBBR(p) }

// NewReno returns the controller of RFC 9002, Section 7.
//
// Deprecated: use [congestion.NewReno].
func NewReno(p congestion.Params) congestion.Controller { return congestion.NewReno(p) }
