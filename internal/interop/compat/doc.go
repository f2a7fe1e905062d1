// Package compat holds tests alone: they compare quic-go with the module compat/quic-go, which
// takes its place in programs.
package compat
