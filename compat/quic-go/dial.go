package quic

import (
	"context"
	"crypto/tls"
	"net"
)

// Dial connects to addr through c. Only this connection may use c, and it leaves c open.
func Dial(ctx context.Context, c net.PacketConn, addr net.Addr, tlsConf *tls.Config, conf *Config) (*Conn, error) {
	return dialOn(ctx, c, addr, tlsConf, conf, false)
}

// DialEarly is Dial with early data, if a session allows it.
func DialEarly(ctx context.Context, c net.PacketConn, addr net.Addr, tlsConf *tls.Config, conf *Config) (*Conn, error) {
	return dialOn(ctx, c, addr, tlsConf, conf, true)
}

func dialOn(ctx context.Context, pc net.PacketConn, addr net.Addr, tlsConf *tls.Config, conf *Config, early bool) (*Conn, error) {
	t := &Transport{Conn: pc, single: true}
	c, err := t.dial(ctx, addr, "", tlsConf, conf, early)
	if err != nil {
		t.Close()
		return nil, err
	}
	return c, nil
}

// DialAddr connects to addr, host and port, from a socket of its own, which closes with the
// connection.
func DialAddr(ctx context.Context, addr string, tlsConf *tls.Config, conf *Config) (*Conn, error) {
	return dialAddr(ctx, addr, tlsConf, conf, false)
}

// DialAddrEarly is DialAddr with early data, if a session allows it.
func DialAddrEarly(ctx context.Context, addr string, tlsConf *tls.Config, conf *Config) (*Conn, error) {
	return dialAddr(ctx, addr, tlsConf, conf, true)
}

func dialAddr(ctx context.Context, addr string, tlsConf *tls.Config, conf *Config, early bool) (*Conn, error) {
	if tlsConf == nil {
		return nil, errNoTLS
	}
	to, err := net.ResolveUDPAddr("udp", addr)
	if err != nil {
		return nil, err
	}
	pc, err := net.ListenUDP("udp", &net.UDPAddr{})
	if err != nil {
		return nil, err
	}
	t := &Transport{Conn: pc, single: true, owns: true}
	c, err := t.dial(ctx, to, addr, tlsConf, conf, early)
	if err != nil {
		t.Close()
		pc.Close() // a Transport that never started has not closed it
		return nil, err
	}
	return c, nil
}

// Listen accepts connections on conn. Only the listener may use conn, and it leaves conn open.
func Listen(conn net.PacketConn, tlsConf *tls.Config, config *Config) (*Listener, error) {
	return (&Transport{Conn: conn, single: true}).Listen(tlsConf, config)
}

// ListenEarly is Listen, but returns connections before their handshake is complete.
func ListenEarly(conn net.PacketConn, tlsConf *tls.Config, config *Config) (*EarlyListener, error) {
	return (&Transport{Conn: conn, single: true}).ListenEarly(tlsConf, config)
}

// ListenAddr accepts connections on a socket of its own at addr. The socket closes after the
// listener and its last connection.
func ListenAddr(addr string, tlsConf *tls.Config, config *Config) (*Listener, error) {
	l, err := listenAddr(addr, tlsConf, config, false)
	if err != nil {
		return nil, err
	}
	return &Listener{l}, nil
}

// ListenAddrEarly is ListenAddr, but returns connections before their handshake is complete.
func ListenAddrEarly(addr string, tlsConf *tls.Config, config *Config) (*EarlyListener, error) {
	l, err := listenAddr(addr, tlsConf, config, true)
	if err != nil {
		return nil, err
	}
	return &EarlyListener{l}, nil
}

func listenAddr(addr string, tlsConf *tls.Config, config *Config, early bool) (*listener, error) {
	if tlsConf == nil {
		return nil, errNoTLS
	}
	at, err := net.ResolveUDPAddr("udp", addr)
	if err != nil {
		return nil, err
	}
	pc, err := net.ListenUDP("udp", at)
	if err != nil {
		return nil, err
	}
	l, err := (&Transport{Conn: pc, single: true, owns: true}).listen(tlsConf, config, early)
	if err != nil {
		pc.Close()
		return nil, err
	}
	return l, nil
}
