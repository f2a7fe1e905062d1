package carriers

import (
	"time"

	"github.com/lazoquic/lazo/examples/realtime/internal/world"
)

// lookEvery is how often a meter looks.
const lookEvery = 2 * time.Millisecond

// A meter counts how old the newest snapshot is that has come, looked at every two milliseconds. It
// looks back at what was true at these moments, so a goroutine that runs late changes nothing. All
// times count from one moment.
type meter struct {
	ages   *world.Ages
	newest time.Duration // when the newest snapshot was sent
	next   time.Duration // when to look
	end    time.Duration // when to stop
}

// newMeter makes a meter that looks from a moment on, for d.
func newMeter(from, d time.Duration) *meter {
	return &meter{ages: new(world.Ages), next: from, end: from + d}
}

// took notes that a snapshot of stamp has come now.
func (m *meter) took(now, stamp time.Duration) {
	m.look(now)
	m.newest = max(m.newest, stamp)
}

// look counts the ages up to now.
func (m *meter) look(now time.Duration) {
	for ; m.next < min(now, m.end); m.next += lookEvery {
		m.ages.Add(m.next - m.newest)
	}
}
