// Package http3 has the API of quic-go's package http3. It translates calls to Lazo's package
// h3/h3http.
package http3

import (
	"errors"
	"net/http"

	"github.com/lazoquic/lazo/h3"
)

// NextProtoH3 is the ALPN identifier of HTTP/3.
const NextProtoH3 = "h3"

// Methods of requests that may go as early data. An attacker may replay such requests (RFC 8470).
const (
	MethodGet0RTT  = "GET_0RTT"
	MethodHead0RTT = "HEAD_0RTT"
)

// A FrameType is the type of a frame of HTTP/3.
type FrameType uint64

// A StreamType is the type of a unidirectional stream of HTTP/3.
type StreamType uint64

// Errors of requests.
var (
	// ErrNoCachedConn is the error of a request that must not dial and has no connection.
	ErrNoCachedConn = errors.New("http3: no cached connection was available")
	// ErrTransportClosed is the error of requests after Transport.Close.
	ErrTransportClosed = errors.New("http3: transport is closed")
)

// ErrNoAltSvcPort is what Server.SetQUICHeaders returns if it knows no port.
var ErrNoAltSvcPort = errors.New("no port can be announced, specify it explicitly using Server.Port or Server.Addr")

// A contextKey is a key of values in the contexts of requests.
type contextKey struct{ name string }

// String names the key.
func (k *contextKey) String() string { return "quic-go/http3 context value " + k.name }

// Keys of values in the contexts of requests in handlers.
var (
	// ServerContextKey has the *Server.
	ServerContextKey = &contextKey{"http3-server"}
	// RemoteAddrContextKey has the address of the client, a net.Addr.
	RemoteAddrContextKey = &contextKey{"remote-addr"}
)

// Settings are the settings of a connection that the peer has sent.
type Settings struct {
	EnableDatagrams       bool              // RFC 9297
	EnableExtendedConnect bool              // RFC 9220
	Other                 map[uint64]uint64 // settings that are neither these nor in RFC 9114
}

// Settingser waits for the settings of the peer.
type Settingser interface {
	// ReceivedSettings returns a channel that is closed when the settings have come.
	ReceivedSettings() <-chan struct{}
	// Settings returns the settings. Call it after the channel is closed.
	Settings() *Settings
}

// settingsOf translates settings. It leaves out reserved ones, which mean nothing (RFC 9114, Section
// 7.2.4.1).
func settingsOf(m map[uint64]uint64) *Settings {
	s := &Settings{EnableDatagrams: m[h3.SettingDatagrams] == 1, EnableExtendedConnect: m[h3.SettingExtendedConnect] == 1}
	for id, v := range m {
		switch id {
		case h3.SettingDatagrams, h3.SettingExtendedConnect, h3.SettingMaxFieldSectionSize:
			continue
		}
		if id >= 0x21 && (id-0x21)%0x1f == 0 {
			continue
		}
		if s.Other == nil {
			s.Other = make(map[uint64]uint64)
		}
		s.Other[id] = v
	}
	return s
}

// An HTTPStreamer lets a handler take its stream. The http.ResponseWriter of a handler is one.
//
// If the handler has called WriteHeader, HTTPStream sends the header. Otherwise it sends nothing,
// and the stream takes no writes. HTTPStream fails if the handler has written some of the body.
// The handler has to close the stream that it took. From then on WriteHeader panics.
type HTTPStreamer interface {
	HTTPStream() (*Stream, error)
}

// handlerOf returns h, or http.DefaultServeMux if h is nil.
func handlerOf(h http.Handler) http.Handler {
	if h == nil {
		return http.DefaultServeMux
	}
	return h
}
