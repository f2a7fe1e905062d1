package loop

import (
	"slices"
	"testing"
)

// TestSendPace: a turn sends after 32 events, and then after more of them at a time, but never
// after more than maxSendEvents.
func TestSendPace(t *testing.T) {
	p := sendPace{sendEvents, sendEvents}
	var got []int
	for n := 1; n < 500; n++ {
		if p.due(n) {
			got = append(got, n)
		}
	}
	if want := []int{32, 96, 224, 352, 480}; !slices.Equal(got, want) {
		t.Errorf("a turn sends after %v events, want %v", got, want)
	}
}
