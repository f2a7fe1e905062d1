package conn_test

import (
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/internal/script"
)

// TestStories plays drawn stories. Each replays exactly.
func TestStories(t *testing.T) {
	runs := uint64(2000)
	if testing.Short() {
		runs = 200
	}
	script.Seeds(t, runs, func(t *testing.T, seed uint64) {
		s := drawStory(seed, script.FromSeed(seed))
		hash, f := s.play(t)
		if f != nil {
			s.report(t, f, fmt.Sprintf("LAZO_SEED=%d go test -count=1 -run '^TestStories$' ./conn", seed))
			return
		}
		if seed%20 == 0 {
			if again, f := s.play(t); f != nil || again != hash {
				t.Errorf("the same seed made different runs: %x and %x, %v", hash[:4], again[:4], f)
			}
		}
	})
}

// TestKeptStories plays the stories that are kept: each of them reached code that those with
// smaller seeds did not, the 2,000 of TestStories among them. docs/simulation.md says how they are
// found.
func TestKeptStories(t *testing.T) {
	kept := []uint64{
		2062, 2992, 3233, 3586, 4920, 5209, 5307, 5466, 5494, 5630, 5807, 5839, 6038,
		6141, 6558, 6670, 8034, 11056, 12929, 13835, 19544,
	}
	for _, seed := range kept {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			s := drawStory(seed, script.FromSeed(seed))
			if _, f := s.play(t); f != nil {
				s.report(t, f, fmt.Sprintf("LAZO_SEED=%d go test -count=1 -run '^TestStories$' ./conn", seed))
			}
		})
	}
}

// TestEndBehindEvents: an actor ends its connection while the news waits that early data may open
// more streams. It does not take it for a fault that no more can be opened.
func TestEndBehindEvents(t *testing.T) {
	for _, end := range []string{"close", "abandon", "refuse"} {
		t.Run(end, func(t *testing.T) {
			s := story{
				Servers: []host{{Config: conn.Config{InitialMaxStreamsBidi: 1, Enable0RTT: true}}},
				Clients: []client{{
					Host: host{Config: conn.Config{Enable0RTT: true}, Options: options{Sessions: true}},
					Dials: []dial{
						{}, // which gets a session
						{At: time.Second, Streams: []exchange{{}, {}}, Calls: []call{{Do: end}}},
					},
				}},
			}
			if f := s.check(t); f != nil {
				t.Error(f)
			}
		})
	}
}

// report says what is wrong with s, and prints the smallest story in which it is wrong, too.
func (s story) report(t *testing.T, f *script.Flaw, replay string) {
	t.Helper()
	script.Report(t, s, f, replay, "conn_test", func(s story) *script.Flaw { return s.check(t) })
}

// TestStoriesTurnEveryKnob: each field of conn.Config is in some story, or has an option instead.
func TestStoriesTurnEveryKnob(t *testing.T) {
	elsewhere := map[string]string{
		"TLS": "conntest has it", "Context": "it has no time of its own", "AllowWindowIncrease": "ConfinedFlow",
		"TicketData": "TicketData", "AcceptEarlyData": "RejectEarly", "Tokens": "Sessions",
		"PreferredAddress4": "Preferred", "PreferredAddress6": "Preferred", "Congestion": "Congestion",
		"Scheduler": "TestMultipathChaos",
		"QLog":      "Trace", "Trace": "Trace", "noFavourite": "not exported",
	}
	turned := make(map[string]bool)
	for seed := range uint64(300) {
		s := drawStory(seed, script.FromSeed(seed))
		for _, h := range s.hosts() {
			notZero(turned, "", reflect.ValueOf(h.Config))
			notZero(turned, "options.", reflect.ValueOf(h.Options))
		}
	}
	for _, typ := range []struct {
		prefix string
		t      reflect.Type
	}{{"", reflect.TypeFor[conn.Config]()}, {"options.", reflect.TypeFor[options]()}} {
		for i := range typ.t.NumField() {
			if name := typ.t.Field(i).Name; !turned[typ.prefix+name] && elsewhere[name] == "" {
				t.Errorf("%s%s is never set", typ.prefix, name)
			}
		}
	}
}

// notZero notes the fields of v that are set.
func notZero(set map[string]bool, prefix string, v reflect.Value) {
	for i := range v.NumField() {
		if !v.Field(i).IsZero() {
			set[prefix+v.Type().Field(i).Name] = true
		}
	}
}
