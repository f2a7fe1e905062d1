package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"net"
	"testing"
	"time"

	"github.com/quic-go/quic-go"

	"github.com/lazoquic/lazo/internal/require"
)

// TestEcho sends to the server with a client of quic-go.
func TestEcho(t *testing.T) {
	sock, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	require.NoError(t, err)
	e, err := newEndpoint("echo")
	require.NoError(t, err)
	served := make(chan error, 1)
	go func() { served <- serve(sock, e) }()
	defer func() {
		sock.Close()
		require.ErrorIs(t, <-served, net.ErrClosed)
	}()

	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	tc := &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"echo"}}
	c, err := quic.DialAddr(ctx, sock.LocalAddr().String(), tc, nil)
	require.NoError(t, err)
	defer c.CloseWithError(0, "")
	for range 3 {
		s, err := c.OpenStreamSync(ctx)
		require.NoError(t, err)
		want := bytes.Repeat([]byte("by hand "), 1<<17)
		go func() {
			s.Write(want)
			s.Close()
		}()
		got, err := io.ReadAll(s)
		require.NoError(t, err)
		require.True(t, bytes.Equal(want, got))
	}
}

func TestDeadline(t *testing.T) {
	require.True(t, deadline(time.Time{}).IsZero())
	later := time.Now().Add(time.Hour)
	require.Equal(t, later, deadline(later))
	now := time.Now()
	require.True(t, deadline(now).After(now))
}
