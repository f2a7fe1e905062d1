package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"syscall"
	"time"

	"github.com/lazoquic/lazo/conn"
)

// probeVersion is a version that no server speaks. Each server answers it with Version Negotiation,
// and keeps nothing (RFC 9000, Sections 6 and 15).
const probeVersion = 0x1a2a3a4a

// A health is what checks know of a backend.
type health int

const (
	well   health = iota
	silent        // does not answer: it gets no new connections, and keeps those that it has
	dead          // its packets go to another server, which answers with stateless resets
)

func (h health) String() string { return [...]string{"well", "silent", "dead"}[h] }

// refusals show that a backend is dead, if no probe is answered meanwhile: its host says that
// nobody listens. The host may send few of these ICMP messages, and others may forge them.
const refusals = 2

// A check asks one backend whether it is there.
type check struct {
	addr     netip.AddrPort
	interval time.Duration // between probes, and for each answer
	silent   int           // probes without an answer in a row
	dead     int           // the same
	refused  chan struct{} // somebody else has found that nobody listens
	changed  func(health)
}

// run probes until ctx is done.
func (c *check) run(ctx context.Context) {
	var is health
	var unanswered, refused int
	for ctx.Err() == nil {
		wait := c.interval
		switch err := c.probe(ctx); {
		case err == nil:
			unanswered, refused = 0, 0
		case errors.Is(err, syscall.ECONNREFUSED):
			unanswered, refused, wait = unanswered+1, refused+1, min(wait, pause)
		default:
			unanswered++
			refused += c.heard()
		}
		if h := c.judge(unanswered, refused); h != is && ctx.Err() == nil {
			is = h
			c.changed(is)
		}
		if is == dead { // most answers of a host are refusals then
			wait = c.interval
		}
		select {
		case <-ctx.Done():
		case <-c.refused:
			refused++         // the next probe tells whether it is true
			time.Sleep(pause) // whoever sends refusals cannot make it busy
		case <-time.After(wait):
		}
	}
}

// heard returns how many refusals somebody else has found during a probe. Hosts send few of them,
// so the probe may have got none where packets of clients have.
func (c *check) heard() int {
	select {
	case <-c.refused:
		return 1
	default:
		return 0
	}
}

// pause is the least time between two probes.
const pause = 10 * time.Millisecond

// judge tells what failures in a row mean.
func (c *check) judge(unanswered, refused int) health {
	switch {
	case refused >= refusals || unanswered >= c.dead:
		return dead
	case unanswered >= c.silent:
		return silent
	}
	return well
}

// probe sends one packet and waits for the answer.
func (c *check) probe(ctx context.Context) error {
	s, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(c.addr))
	if err != nil {
		return err
	}
	defer s.Close()
	defer context.AfterFunc(ctx, func() { s.SetDeadline(time.Unix(1, 0)) })()
	s.SetDeadline(time.Now().Add(c.interval))
	probe := newProbe()
	if _, err := s.Write(probe.packet()); err != nil {
		return err
	}
	b := make([]byte, 2048)
	for {
		n, err := s.Read(b)
		if err != nil {
			return err
		}
		if probe.answeredBy(b[:n]) {
			return nil
		}
	}
}

// A probe is a packet that asks for Version Negotiation. Its connection IDs are random, so only
// who has received it can answer.
type probe struct{ dcid, scid [8]byte }

func newProbe() (p probe) {
	rand.Read(p.dcid[:])
	rand.Read(p.scid[:])
	return p
}

// packet returns the packet. It has the least size that servers answer (RFC 9000, Section 14.1).
func (p *probe) packet() []byte {
	b := binary.BigEndian.AppendUint32([]byte{0xc0}, probeVersion)
	b = append(append(b, byte(len(p.dcid))), p.dcid[:]...)
	b = append(append(b, byte(len(p.scid))), p.scid[:]...)
	return append(b, make([]byte, 1200-len(b))...)
}

// answeredBy reports whether b is the answer (RFC 8999, Section 6).
func (p *probe) answeredBy(b []byte) bool {
	h, ok := conn.ParseHeader(b, func([]byte) int { return -1 })
	return ok && h.Long && h.Version == 0 && bytes.Equal(h.DCID, p.scid[:]) && bytes.Equal(h.SCID, p.dcid[:])
}
