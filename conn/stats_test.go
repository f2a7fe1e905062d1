package conn

import (
	"reflect"
	"slices"
	"testing"
	"time"
)

// TestSumsOfConnections: each counter of a connection has a sum of its name in the Stats of the
// Endpoint, also after the connection has ended.
func TestSumsOfConnections(t *testing.T) {
	now := []string{"BytesInFlight", "CongestionWindow", "SlowStartThreshold", "PacingRate", "DeliveryRate"}
	var c Stats
	v := reflect.ValueOf(&c).Elem()
	for i := range v.NumField() {
		if f := v.Field(i); f.Kind() == reflect.Uint64 {
			f.SetUint(uint64(i + 1))
		}
	}
	var sum EndpointStats
	sum.addConn(&c)
	sum.addConn(&c)
	for i := range v.NumField() {
		name := v.Type().Field(i).Name
		if v.Field(i).Kind() != reflect.Uint64 || slices.Contains(now, name) {
			continue
		}
		f := reflect.ValueOf(sum).FieldByName(name)
		if !f.IsValid() || f.Uint() != 2*uint64(i+1) {
			t.Errorf("EndpointStats.%s is not the sum", name)
		}
	}
}

// TestHeldBy: what the bytes are held for adds up, and each part shows where it should.
func TestHeldBy(t *testing.T) {
	sides(t, func(t *testing.T, server bool) {
		tc := newTestConn(t, server)
		s := tc.open(Uni)
		tc.writeStream(s, string(make([]byte, 30000)))
		tc.flush()
		st := tc.e.Stats()
		h := st.HeldBy
		if sum := h.Buffers + h.Conns + h.Handshakes + h.Streams + h.Above + h.Packets + h.EndedOrGaps; sum != st.Held {
			t.Errorf("%+v: the sum is %d, Held is %d", h, sum, st.Held)
		}
		if h.Conns != connCost || h.Streams != streamCost || h.Handshakes != 0 || h.Buffers < 30000 || h.Packets == 0 || h.EndedOrGaps != 0 {
			t.Errorf("%+v", h)
		}
		tc.c.Close(0, "")
		tc.flush()
		if h := tc.e.Stats().HeldBy; h.Conns != 0 || h.EndedOrGaps == 0 {
			t.Errorf("after the end: %+v", h)
		}
	})
}

// TestRTTSample: each sample is told, and it is the one of LatestRTT.
func TestRTTSample(t *testing.T) {
	sides(t, func(t *testing.T, server bool) {
		var samples []time.Duration
		tc := newTestConn(t, server, func(s *testSetup) {
			s.endpoint.RTTSample = func(c *Conn, rtt time.Duration) {
				if c.Stats().LatestRTT != rtt {
					t.Errorf("a sample of %v, LatestRTT is %v", rtt, c.Stats().LatestRTT)
				}
				samples = append(samples, rtt)
			}
		})
		samples = nil
		tc.writeStream(tc.open(Uni), "x")
		tc.flush()
		tc.ackAll()
		tc.ackAll()
		if len(samples) != 1 || samples[0] != tc.c.Stats().LatestRTT {
			t.Errorf("the samples are %v", samples)
		}
	})
}
