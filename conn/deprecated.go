package conn

import "github.com/lazoquic/lazo/conn/congestion"

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
