package debug

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/lazoquic/lazo/conn"
)

// A connection is what JSON and the pages show of one. Times are in seconds, sizes in bytes.
type connection struct {
	ID      string  `json:"id"`
	Side    string  `json:"side"`
	State   string  `json:"state"`
	Version string  `json:"version"`
	Local   string  `json:"local"`
	Remote  string  `json:"remote"`
	Age     float64 `json:"age"`
	Quiet   float64 `json:"quiet"` // since the last sign of life
	Waits   string  `json:"waits"` // what its data waits for
	Error   string  `json:"error"`
	Streams int     `json:"streams"`
	Held    int64   `json:"held"`

	RTT          float64 `json:"rtt"`
	MinRTT       float64 `json:"min_rtt"`
	LatestRTT    float64 `json:"latest_rtt"`
	Window       uint64  `json:"window"`
	InFlight     uint64  `json:"in_flight"`
	PacingRate   uint64  `json:"pacing_rate"`
	DeliveryRate uint64  `json:"delivery_rate"`
	MTU          int     `json:"mtu"`
	Probes       uint64  `json:"probe_timeouts"`
	Marks        uint64  `json:"ce_marks"`

	PacketsSent     uint64 `json:"packets_sent"`
	PacketsReceived uint64 `json:"packets_received"`
	PacketsLost     uint64 `json:"packets_lost"`
	BytesSent       uint64 `json:"bytes_sent"`
	BytesReceived   uint64 `json:"bytes_received"`

	*more // of the page of one connection
}

// more is what the list leaves out.
type more struct {
	Now          time.Time `json:"now"`
	DataSent     uint64    `json:"data_sent"` // of streams
	SendLimit    uint64    `json:"send_limit"`
	DataReceived uint64    `json:"data_received"`
	ReceiveLimit uint64    `json:"receive_limit"`
	Blocks       blocks    `json:"blocks"`
	KeyUpdates   uint64    `json:"key_updates"`
	PathChanges  uint64    `json:"path_changes"`
	Paths        []path    `json:"paths"`
	StreamList   []stream  `json:"stream_list"`
}

// blocks are how often something held data back.
type blocks struct {
	Connection    uint64 `json:"connection"`
	Stream        uint64 `json:"stream"`
	Streams       uint64 `json:"streams"`
	Amplification uint64 `json:"amplification"`
}

type path struct {
	Local     string `json:"local"`
	Remote    string `json:"remote"`
	InUse     bool   `json:"in_use"`
	Validated bool   `json:"validated"`
}

type stream struct {
	ID           uint64 `json:"id"`
	SendState    string `json:"send_state"`
	ReceiveState string `json:"receive_state"`
	Urgency      int    `json:"urgency"`
	Written      uint64 `json:"written"`
	Sent         uint64 `json:"sent"`
	SendLimit    uint64 `json:"send_limit"`
	Received     uint64 `json:"received"`
	ReceiveLimit uint64 `json:"receive_limit"`
	Blocked      bool   `json:"blocked"`
}

// An ending is a connection that has ended.
type ending struct {
	ID     string    `json:"id"`
	Side   string    `json:"side"`
	Remote string    `json:"remote"`
	At     time.Time `json:"at"`
	Lasted float64   `json:"lasted"`
	Error  string    `json:"error"`
	Lost   uint64    `json:"packets_lost"`
}

// describe returns a connection. If streams is not 0, it returns all that the page of a connection
// has, with at most so many streams. It runs on the goroutine of the Loop.
func describe(now time.Time, c *conn.Conn, streams int) *connection {
	s := c.Snapshot(now, streams)
	st := &s.Stats
	d := &connection{
		ID: c.ID().String(), Side: sideOf(c), State: s.State, Version: fmt.Sprintf("%#x", c.Version()),
		Local: addr(c.LocalAddr()), Remote: addr(c.RemoteAddr()), Age: seconds(s.Age), Quiet: seconds(s.Quiet), Waits: s.Waits,
		Streams: s.StreamCount, Held: s.Held,
		RTT: seconds(st.SmoothedRTT), MinRTT: seconds(st.MinRTT), LatestRTT: seconds(st.LatestRTT),
		Window: st.CongestionWindow, InFlight: st.BytesInFlight, PacingRate: st.PacingRate, DeliveryRate: st.DeliveryRate, MTU: st.MTU,
		Probes: st.PTOs, Marks: st.CEMarks,
		PacketsSent: st.PacketsSent, PacketsReceived: st.PacketsReceived, PacketsLost: st.PacketsLost,
		BytesSent: st.BytesSent, BytesReceived: st.BytesReceived,
	}
	if d.Error = errorText(s.Err); s.Err == nil {
		d.Error = errorText(s.SendErr)
	}
	if streams > 0 {
		d.more = describeMore(now, &s)
	}
	return d
}

func describeMore(now time.Time, s *conn.Snapshot) *more {
	m := &more{
		Now: now.UTC(), DataSent: s.Sent, SendLimit: s.SendLimit, DataReceived: s.Received, ReceiveLimit: s.ReceiveLimit,
		Blocks:     blocks{s.Stats.ConnBlocks, s.Stats.StreamBlocks, s.Stats.StreamLimitBlocks, s.Stats.AmplificationBlocks},
		KeyUpdates: s.Stats.KeyUpdates, PathChanges: s.Stats.PathChanges, StreamList: []stream{},
	}
	for _, p := range s.Paths {
		m.Paths = append(m.Paths, path{addr(p.Local), addr(p.Remote), p.InUse, p.Validated})
	}
	for _, v := range s.Streams {
		m.StreamList = append(m.StreamList, stream{
			ID: uint64(v.ID), SendState: v.SendState, ReceiveState: v.ReceiveState, Urgency: 3 + int(v.Priority.Urgency),
			Written: v.Written, Sent: v.Sent, SendLimit: v.SendLimit, Received: v.Received, ReceiveLimit: v.ReceiveLimit,
			Blocked: v.Blocked,
		})
	}
	return m
}

func seconds(d time.Duration) float64 { return d.Seconds() }

// addr returns an address, or "" for one that is not known.
func addr(a netip.AddrPort) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

// maxError bounds the text of an error, which may have a reason that a peer gave.
const maxError = 300

func errorText(err error) string {
	if err == nil {
		return ""
	}
	s := err.Error()
	if len(s) > maxError {
		s = s[:maxError] + "…"
	}
	return strings.ToValidUTF8(s, "\ufffd")
}
