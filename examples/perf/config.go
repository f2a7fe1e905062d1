package main

import (
	"crypto/tls"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/congestion"
	"github.com/lazoquic/lazo/examples/internal/envlog"
	"github.com/lazoquic/lazo/examples/internal/selfsigned"
)

const (
	alpn        = "perf"
	idleTimeout = 60 * time.Second
	datagramLen = 1200
)

// quicConfig returns what the configurations of both sides have in common.
func (o *options) quicConfig(t *tls.Config) *conn.Config {
	c := &conn.Config{
		TLS:                   t,
		QLog:                  envlog.QLog(),
		MaxIdleTimeout:        idleTimeout,
		InitialMaxStreamsBidi: int64(o.maxStreams),
		InitialMaxStreamData:  int64(o.streamWindow),
		MaxStreamData:         int64(o.streamWindow),
		InitialMaxData:        int64(o.connWindow),
		MaxData:               int64(o.connWindow),
	}
	if o.datagrams {
		c.MaxDatagramFrameSize = 65535
		c.DatagramReceiveQueue = 1024 // several batches of GRO
		c.DatagramSendQueue = 256
	}
	switch o.cc {
	case "newreno":
		c.Congestion = congestion.NewReno
	case "bbr":
		c.Congestion = congestion.NewBBR
	}
	if o.kx == "x25519" {
		t.CurvePreferences = []tls.CurveID{tls.X25519}
	}
	return c
}

func (o *options) serverConfig() (*conn.Config, error) {
	cert, err := o.certificate()
	if err != nil {
		return nil, err
	}
	return o.quicConfig(&tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{alpn}}), nil
}

func (o *options) clientConfig() *conn.Config {
	return o.quicConfig(&tls.Config{InsecureSkipVerify: true, ServerName: "localhost", NextProtos: []string{alpn}})
}

// certificate returns the certificate of the flags, or a self-signed one for localhost.
func (o *options) certificate() (tls.Certificate, error) {
	if o.cert != "" {
		return tls.LoadX509KeyPair(o.cert, o.key)
	}
	return selfsigned.Certificate()
}
