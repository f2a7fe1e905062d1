package world

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"time"
)

// A Client is the other side of a Session, as far as datagrams go. It belongs to one goroutine.
type Client struct {
	// Ages, if not nil, counts how old positions of others are when they come, from the moment in
	// which they were true. Clients may share it if they share their goroutine.
	Ages *Ages

	epoch  time.Time
	seq    uint32
	tick   uint32
	got    bool // there was a snapshot
	best   time.Duration
	bestAt time.Time
	clock  uint32 // of the server, at epoch
	synced bool
	stats  ClientStats
}

// ClientStats are what a Client knows of its connection.
type ClientStats struct {
	RTT       time.Duration // of the newest position that was answered, 0 if unknown
	Snapshots uint64        // that were taken
	Missing   uint64        // ticks without a snapshot, so far
	Late      uint64        // snapshots that a newer one had overtaken
	X, Y      int           // where the server has this player
	Seen      int           // other players in the newest snapshot
}

// resync is after how long a client measures the clock of the server anew.
const resync = 10 * time.Second

// NewClient returns a Client that has sent and seen nothing.
func NewClient(now time.Time) *Client { return &Client{epoch: now} }

// Stats returns what is known of the connection.
func (c *Client) Stats() ClientStats { return c.stats }

// local returns the clock of the client.
func (c *Client) local(now time.Time) uint32 { return tenths(now.Sub(c.epoch)) }

// server returns the clock of the server, as far as it is known, and never 0.
func (c *Client) server(now time.Time) uint32 { return max(c.clock+c.local(now), 1) }

// Position appends the datagram that says where this player is.
func (c *Client) Position(now time.Time, x, y int, b []byte) []byte {
	c.seq++
	b = append(b, typeMove)
	b = binary.BigEndian.AppendUint32(b, c.seq)
	born := uint32(0)
	if c.synced {
		born = c.server(now)
	}
	b = binary.BigEndian.AppendUint32(b, born)
	b = binary.BigEndian.AppendUint32(b, c.local(now))
	b = binary.BigEndian.AppendUint16(b, uint16(max(0, min(x, Size-1))))
	return binary.BigEndian.AppendUint16(b, uint16(max(0, min(y, Size-1))))
}

// Datagram takes a datagram of the server in. It reports whether it is a snapshot newer than all
// before.
func (c *Client) Datagram(now time.Time, b []byte) bool {
	if len(b) < headLen || b[0] != typeMove || len(b) != headLen+seenLen*int(b[headLen-1]) || b[headLen-1] == 0 {
		return false
	}
	tick := binary.BigEndian.Uint32(b[1:])
	if c.got {
		gap := int32(tick - c.tick)
		if gap < 0 {
			// It counted as missing.
			c.stats.Late++
			c.stats.Missing -= min(c.stats.Missing, 1)
		}
		if gap <= 0 {
			return false
		}
		c.stats.Missing += uint64(gap - 1)
	}
	c.got, c.tick = true, tick
	c.stats.Snapshots++
	at := binary.BigEndian.Uint32(b[5:])
	c.sync(now, at, binary.BigEndian.Uint32(b[9:]), binary.BigEndian.Uint16(b[13:]))
	c.see(now, at, b[headLen:])
	return true
}

// sync learns the round-trip time and the clock of the server. The fastest round trip of some time
// tells the clock best.
func (c *Client) sync(now time.Time, at, echo uint32, held uint16) {
	if held == notHeld {
		return
	}
	rtt := max(duration(int32(c.local(now)-echo-uint32(held))), 0)
	c.stats.RTT = rtt
	if !c.synced || rtt <= c.best || now.Sub(c.bestAt) > resync {
		c.synced, c.best, c.bestAt = true, rtt, now
		c.clock = at + tenths(rtt/2) - c.local(now)
	}
}

// see takes in the players of a snapshot.
func (c *Client) see(now time.Time, at uint32, b []byte) {
	c.stats.X, c.stats.Y = int(binary.BigEndian.Uint16(b[4:])), int(binary.BigEndian.Uint16(b[6:]))
	c.stats.Seen = len(b)/seenLen - 1
	if c.Ages == nil || !c.synced {
		return
	}
	way := max(duration(int32(c.server(now)-at)), 0)
	for b = b[seenLen:]; len(b) > 0; b = b[seenLen:] {
		c.Ages.Add(way + duration(int32(binary.BigEndian.Uint16(b[8:]))))
	}
}

// Messages reads the messages of a server from a stream.
type Messages struct{ in []byte }

// Read takes in what came on the stream, and returns the messages that are complete.
func (m *Messages) Read(b []byte) (got []Message, err error) {
	m.in = append(m.in, b...)
	for len(m.in) >= 2 {
		n := 2 + int(binary.BigEndian.Uint16(m.in))
		if len(m.in) < n {
			break
		}
		var msg Message
		if err := json.Unmarshal(m.in[2:n], &msg); err != nil {
			return got, fmt.Errorf("world: a message of the server: %w", err)
		}
		got = append(got, msg)
		m.in = append(m.in[:0], m.in[n:]...)
	}
	return got, nil
}
