package quic

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/lazoquic/lazo/conn"

	"github.com/quic-go/quic-go/qlogwriter"
)

// A Config configures connections. A zero field means the default that its comment names.
type Config struct {
	// GetConfigForClient returns the Config of a client's connection. If it returns an error, the
	// client is refused. It must not block. Versions are always those of the listener.
	GetConfigForClient func(info *ClientInfo) (*Config, error)
	// Versions are the versions to speak. The default is all of them.
	Versions []Version
	// HandshakeIdleTimeout is how long a handshake may go on without a packet of the peer. The
	// handshake has twice as long in all. The default is 5s.
	HandshakeIdleTimeout time.Duration
	// MaxIdleTimeout is how long a connection may be silent. The default is 30s.
	MaxIdleTimeout time.Duration
	// TokenStore keeps the tokens of servers, by ServerName, or else by IP address.
	TokenStore TokenStore
	// InitialStreamReceiveWindow is the window of a stream in bytes, up to MaxStreamReceiveWindow.
	// The defaults are 512 KiB and 6 MiB.
	InitialStreamReceiveWindow uint64
	MaxStreamReceiveWindow     uint64
	// InitialConnectionReceiveWindow is the window of a connection in bytes, up to
	// MaxConnectionReceiveWindow. The defaults are 768 KiB and 15 MiB.
	InitialConnectionReceiveWindow uint64
	MaxConnectionReceiveWindow     uint64
	// AllowConnectionWindowIncrease is asked before the window of a connection grows. It must not
	// call anything of the connection.
	AllowConnectionWindowIncrease func(conn *Conn, delta uint64) bool
	// MaxIncomingStreams and MaxIncomingUniStreams are how many streams the peer may have open. The
	// default is 100. A negative value means none.
	MaxIncomingStreams    int64
	MaxIncomingUniStreams int64
	// RequireStreamCreditRelease has a stream of the peer count against the limit until its
	// ReleaseStreamCredit is called.
	RequireStreamCreditRelease bool
	// KeepAlivePeriod is the silence after which a packet is sent to keep the connection alive. It
	// counts as at most half of MaxIdleTimeout. The default is never.
	KeepAlivePeriod time.Duration
	// InitialPacketSize is the size of the first packets in bytes. The default is 1280.
	InitialPacketSize uint16
	// DisablePathMTUDiscovery keeps packets at InitialPacketSize.
	DisablePathMTUDiscovery bool
	// Allow0RTT has a server take early data.
	Allow0RTT bool
	// EnableDatagrams has this side take datagrams (RFC 9221).
	EnableDatagrams bool
	// EnableStreamResetPartialDelivery has this side take RESET_STREAM_AT
	// (draft-ietf-quic-reliable-stream-reset).
	EnableStreamResetPartialDelivery bool

	// Tracer returns a trace for a connection, or nil. It gets the events of Lazo's qlog. The program
	// may add others: see [Conn.QlogTrace]. It must not block.
	Tracer func(ctx context.Context, isClient bool, connID ConnectionID) qlogwriter.Trace
}

// Clone returns a copy.
func (c *Config) Clone() *Config {
	d := *c
	return &d
}

const (
	initialRTT            = 200 * time.Millisecond / 3 // a lost first packet goes again after 200 ms
	defaultHandshakeIdle  = 5 * time.Second
	defaultIdle           = 30 * time.Second
	defaultPacketSize     = 1280
	minPacketSize         = 1200
	maxPacketSize         = 1452
	maxStreams            = 1 << 60
	maxDatagramFrame      = 16383
	defaultStreamWindow   = 512 << 10
	defaultConnWindow     = 768 << 10
	defaultMaxStreamWin   = 6 << 20
	defaultMaxConnWin     = 15 << 20
	maxVarint             = 1<<62 - 1
	handshakeIdleToWhole  = 2
	keepAlivesInMaxSilent = 2
)

// withDefaults returns a copy of c, which may be nil, with all defaults, or an error if c is not
// valid.
func (c *Config) withDefaults() (*Config, error) {
	d := new(Config)
	if c != nil {
		*d = *c
	}
	for _, v := range d.Versions {
		if v != Version1 && v != Version2 {
			return nil, fmt.Errorf("invalid QUIC version: %s", v)
		}
	}
	if d.HandshakeIdleTimeout < 0 || d.MaxIdleTimeout < 0 {
		return nil, errors.New("quic: a negative timeout")
	}
	setDefault(&d.HandshakeIdleTimeout, defaultHandshakeIdle)
	setDefault(&d.MaxIdleTimeout, defaultIdle)
	setDefault(&d.InitialStreamReceiveWindow, defaultStreamWindow)
	setDefault(&d.MaxStreamReceiveWindow, defaultMaxStreamWin)
	setDefault(&d.InitialConnectionReceiveWindow, defaultConnWindow)
	setDefault(&d.MaxConnectionReceiveWindow, defaultMaxConnWin)
	setDefault(&d.MaxIncomingStreams, 100)
	setDefault(&d.MaxIncomingUniStreams, 100)
	setDefault(&d.InitialPacketSize, defaultPacketSize)
	d.InitialPacketSize = min(max(d.InitialPacketSize, minPacketSize), maxPacketSize)
	if len(d.Versions) == 0 {
		d.Versions = SupportedVersions()
	}
	return d, nil
}

func setDefault[T comparable](v *T, def T) {
	var zero T
	if *v == zero {
		*v = def
	}
}

// lazo returns the configuration for Lazo. The Config has all defaults.
func (c *Config) lazo() *conn.Config {
	l := &conn.Config{
		NoALPN:                true, // as in quic-go, it is up to the program
		GrowFirstWindows:      true,
		AcceptFromAnywhere:    true, // a net.PacketConn may not tell where packets come from
		DisableGreaseBit:      true, // programs that share the socket tell packets apart by it
		InitialRTT:            initialRTT,
		MaxIdleTimeout:        c.MaxIdleTimeout,
		HandshakeTimeout:      min(c.HandshakeIdleTimeout, math.MaxInt64/handshakeIdleToWhole) * handshakeIdleToWhole,
		InitialMaxData:        window(c.InitialConnectionReceiveWindow),
		MaxData:               window(c.MaxConnectionReceiveWindow),
		InitialMaxStreamData:  window(c.InitialStreamReceiveWindow),
		MaxStreamData:         window(c.MaxStreamReceiveWindow),
		InitialMaxStreamsBidi: min(c.MaxIncomingStreams, maxStreams),
		InitialMaxStreamsUni:  min(c.MaxIncomingUniStreams, maxStreams),
		InitialMTU:            int(c.InitialPacketSize),
		DisableResetStreamAt:  !c.EnableStreamResetPartialDelivery,
	}
	for _, v := range c.Versions {
		l.Versions = append(l.Versions, uint32(v))
	}
	if c.KeepAlivePeriod > 0 {
		l.KeepAlive = min(c.KeepAlivePeriod, c.MaxIdleTimeout/keepAlivesInMaxSilent)
	}
	if c.DisablePathMTUDiscovery {
		l.MaxMTU = l.InitialMTU
	}
	if c.EnableDatagrams {
		l.MaxDatagramFrameSize = maxDatagramFrame
	}
	if c.TokenStore != nil {
		l.Tokens = tokenCache{c.TokenStore}
	}
	return l
}

func window(n uint64) int64 { return int64(min(n, maxVarint)) }
