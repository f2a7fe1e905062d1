package main

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// An echo is the floor of a request's latency: one datagram there and back through Go's net
// package, each sealed and opened with AES-128-GCM, and no protocol. Its client and server speak
// only with each other.
type echo struct {
	aead  cipher.AEAD
	nonce [12]byte
	buf   [2048]byte
	out   [2048]byte
}

// echoLen is the length of a datagram, about that of a packet with a small request.
const echoLen = 40

func newEcho() (*echo, error) {
	block, err := aes.NewCipher(make([]byte, 16)) // any key will do
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCM(block)
	return &echo{aead: aead}, err
}

// seal returns a datagram that begins with its number.
func (e *echo) seal(n uint64) []byte {
	b := binary.BigEndian.AppendUint64(e.out[:0], n)
	binary.BigEndian.PutUint64(e.nonce[4:], n)
	return e.aead.Seal(b, e.nonce[:], zeros[:echoLen], nil)
}

// open returns the number of a datagram.
func (e *echo) open(b []byte) (uint64, error) {
	if len(b) < 8 {
		return 0, fmt.Errorf("%d bytes are no echo", len(b))
	}
	copy(e.nonce[4:], b[:8])
	_, err := e.aead.Open(b[8:8], e.nonce[:], b[8:], nil)
	return binary.BigEndian.Uint64(b), err
}

// runEchoServer answers until it is told to end.
func runEchoServer(o *options) error {
	e, err := newEcho()
	if err != nil {
		return err
	}
	at, err := netip.ParseAddrPort(o.listen)
	if err != nil {
		return err
	}
	s, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(at))
	if err != nil {
		return err
	}
	sig := make(chan os.Signal, 1)
	signal.Notify(sig, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-sig
		s.Close()
	}()
	var m meter
	m.start()
	fmt.Fprintf(os.Stderr, "ready %s pid %d\n", o.listen, os.Getpid())
	e.serve(s)
	r := newReport("server")
	m.stop(r)
	return r.print()
}

// serve answers until s is closed.
func (e *echo) serve(s *net.UDPConn) {
	for {
		n, from, err := s.ReadFromUDPAddrPort(e.buf[:])
		if err != nil {
			return
		}
		if id, err := e.open(e.buf[:n]); err == nil {
			s.WriteToUDPAddrPort(e.seal(id), from)
		}
	}
}

// echo sends one datagram after another.
func (c *client) echo() error {
	e, err := newEcho()
	if err != nil {
		return err
	}
	s, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(c.remote))
	if err != nil {
		return err
	}
	defer s.Close()
	var times histogram
	c.meter.start()
	for id := range uint64(c.o.ops) {
		start := time.Now()
		if _, err := s.Write(e.seal(id)); err != nil {
			return err
		}
		s.SetReadDeadline(start.Add(5 * time.Second))
		n, err := s.Read(e.buf[:])
		if err != nil {
			return err
		}
		if got, err := e.open(e.buf[:n]); err != nil || got != id {
			return fmt.Errorf("echo %d: got %d, %w", id, got, err)
		}
		times.add(time.Since(start))
	}
	c.finish(int64(c.o.ops), int64(c.o.ops))
	times.addTo(c.r)
	return nil
}
