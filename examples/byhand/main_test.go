package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"net"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/internal/require"
	"github.com/lazoquic/lazo/loop"
)

// TestEcho sends to the server with a client that blocks.
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
	c, err := loop.Dial(ctx, sock.LocalAddr().String(), &conn.Config{
		TLS: &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"echo"}},
	})
	require.NoError(t, err)
	defer c.Shutdown(ctx, 0, "")
	for range 3 {
		s, err := c.OpenStream(ctx, conn.Bidi)
		require.NoError(t, err)
		want := bytes.Repeat([]byte("by hand "), 1<<17)
		go func() {
			s.Write(want)
			s.CloseWrite()
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
