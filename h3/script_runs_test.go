package h3

import (
	"fmt"
	"reflect"
	"testing"

	"github.com/lazoquic/lazo/internal/script"
)

// TestStories plays drawn stories. Each replays exactly.
func TestStories(t *testing.T) {
	runs := uint64(500)
	if testing.Short() {
		runs = 50
	}
	script.Seeds(t, runs, func(t *testing.T, seed uint64) {
		s := drawStory(seed, script.FromSeed(seed))
		hash, f := s.play(t)
		if f != nil {
			replay := fmt.Sprintf("LAZO_SEED=%d go test -count=1 -run '^TestStories$' ./h3", seed)
			script.Report(t, s, f, replay, "h3", func(s story) *script.Flaw { return s.check(t) })
			return
		}
		if seed%20 == 0 {
			if again, f := s.play(t); f != nil || again != hash {
				t.Errorf("the same seed made different runs: %x and %x, %v", hash[:4], again[:4], f)
			}
		}
	})
}

// TestSectionBeyondWindow: a field section that is longer than the window of its stream, or those
// of many streams than that of the connection, is taken as it comes. Otherwise its rest never does.
func TestSectionBeyondWindow(t *testing.T) {
	for _, window := range []int64{64, 100, 200, 500, 1000} {
		s := story{Client: host{Window: window}, Server: host{Window: window}}
		for range 20 {
			s.Requests = append(s.Requests, request{
				Method: "POST", There: half{Fields: []line{{Length: 700}}}, Back: half{Fields: []line{{Length: 900}}},
			})
		}
		if f := s.check(t); f != nil {
			t.Errorf("a window of %d bytes: %v", window, f)
		}
	}
}

// TestStoriesTurnEveryKnob: each field of Config is in some story.
func TestStoriesTurnEveryKnob(t *testing.T) {
	elsewhere := map[string]string{
		"MaxCancels": "limits_test.go", "Settings": "not plain data", "StreamTypes": "extension_test.go",
	}
	turned := make(map[string]bool)
	for seed := range uint64(300) {
		s := drawStory(seed, script.FromSeed(seed))
		for _, h := range []host{s.Client, s.Server} {
			for f, v := range reflect.ValueOf(h.Config).Fields() {
				turned[f.Name] = turned[f.Name] || !v.IsZero()
			}
		}
	}
	for name, set := range turned {
		if !set && elsewhere[name] == "" {
			t.Errorf("%s is never set", name)
		}
	}
}
