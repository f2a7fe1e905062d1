package metrics

import (
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/h3"
	"github.com/lazoquic/lazo/h3/h3http"
	"github.com/lazoquic/lazo/loop"
)

// TestAllStatsAreShown: no counter of a Group, a Server or a Transport is left out. Each of them is
// made 1 in turn, and one sample or more must change.
func TestAllStatsAreShown(t *testing.T) {
	var s loop.Stats
	var h, c h3http.Stats
	shown := func() (f families) {
		f.addGroup(&s)
		f.addServer(&h)
		f.addTransport(&c)
		return f
	}
	// A Transport does not limit what servers do.
	ofServers := []string{"Rejected", "Floods", "HeaderTimeouts", "Stalled"}
	// Buffered and Held are in HeldBy, DroppedUnknownID is DroppedUnroutable.
	elsewhere := []string{"Buffered", "Held", "DroppedUnknownID"}
	before := fmt.Sprint(samples(shown()))
	n := 0
	var visit func(path string, v reflect.Value)
	visit = func(path string, v reflect.Value) {
		switch v.Kind() {
		case reflect.Struct:
			for i := range v.NumField() {
				if name := v.Type().Field(i).Name; !slices.Contains(elsewhere, name) {
					visit(path+"."+name, v.Field(i))
				}
			}
			return
		case reflect.Array: // Responses[1] is never counted
			for i := range v.Len() {
				if i != 1 {
					visit(fmt.Sprintf("%s[%d]", path, i), v.Index(i))
				}
			}
			return
		}
		n++
		if v.CanUint() {
			v.SetUint(1)
		} else {
			v.SetInt(1)
		}
		if fmt.Sprint(samples(shown())) == before {
			t.Errorf("%s is not among the metrics", path)
		}
		v.SetZero()
	}
	visit("loop.Stats", reflect.ValueOf(&s).Elem())
	visit("h3http.Stats", reflect.ValueOf(&h).Elem())
	elsewhere = append(elsewhere, ofServers...)
	visit("h3http.Stats of a Transport", reflect.ValueOf(&c).Elem())
	if n < 70 {
		t.Errorf("%d counters were found", n)
	}
}

func samples(all families) (lines []string) {
	for _, f := range all {
		for _, s := range f.Samples {
			lines = append(lines, fmt.Sprint(f.Name, s.Labels, s.Value))
		}
	}
	return lines
}

func TestWhyClosed(t *testing.T) {
	for _, c := range []struct {
		err    error
		by     int
		reason string
	}{
		{&conn.TransportError{Code: 0x03}, byLocal, "flow_control_error"},
		{&conn.TransportError{Code: 0x0a, Remote: true}, byPeer, "protocol_violation"},
		{&conn.TransportError{Code: 0x128}, byLocal, "crypto_error"},
		{&conn.TransportError{Code: 1 << 60, Remote: true}, byPeer, "other"},
		{&conn.ApplicationError{}, byLocal, "application_closed"},
		{&conn.ApplicationError{Code: uint64(h3.NoError), Remote: true}, byPeer, "application_closed"},
		{&conn.ApplicationError{Code: 1 << 60, Remote: true}, byPeer, "application_error"},
		{fmt.Errorf("%w, more", conn.ErrIdleTimeout), byNobody, "idle_timeout"},
		{conn.ErrHandshakeTimeout, byNobody, "handshake_timeout"},
		{conn.ErrStatelessReset, byPeer, "stateless_reset"},
		{conn.ErrVersion, byNobody, "version_mismatch"},
		{&conn.UnreachableError{Err: conn.ErrVersion}, byNobody, "unreachable"},
		{fmt.Errorf("what"), byNobody, "other"},
	} {
		by, reason := whyClosed(c.err)
		if i := index(reasons[:], reason); by != c.by || reasons[i] != c.reason {
			t.Errorf("%v: %s, %q", c.err, enders[by], reason)
		}
	}
	// Each code of RFC 9000 and of HTTP/3 has a label of its own.
	for code := range uint64(0x11) {
		if _, reason := whyClosed(&conn.TransportError{Code: code}); index(reasons[:], reason) == len(reasons)-1 {
			t.Errorf("code %#x has no label: %q", code, reason)
		}
	}
	for code := h3.NoError; code <= h3.VersionFallback; code++ {
		if name := h3Code(&conn.ApplicationError{Code: uint64(code)}); index(h3Codes[:], name) == len(h3Codes)-1 {
			t.Errorf("%v has no label: %q", code, name)
		}
	}
}

func TestMeter(t *testing.T) {
	m := newMeter(roundTripBounds)
	for _, d := range []time.Duration{0, time.Millisecond, time.Millisecond + 1, time.Hour} {
		m.observe(d)
	}
	var h Histogram
	m.addTo(&h)
	m.addTo(&h)
	if h.Count() != 8 || h.Counts[0] != 2 || h.Counts[3] != 2 || h.Counts[4] != 2 || h.Counts[len(h.Counts)-1] != 2 || h.Bounds[3] != 0.001 {
		t.Errorf("%+v", h)
	}
	if want := 2 * (time.Hour + 2*time.Millisecond + 1).Seconds(); h.Sum != want {
		t.Errorf("the sum is %v, want %v", h.Sum, want)
	}
}

// TestObserverAllocatesNothing: what happens often costs no memory.
func TestObserverAllocatesNothing(t *testing.T) {
	o := newLoopObserver()
	if n := testing.AllocsPerRun(100, func() {
		o.RTTSample(nil, time.Millisecond)
		o.TurnDone(time.Millisecond, time.Microsecond)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
