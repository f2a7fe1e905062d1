package conntest

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"
)

// opportunity is how many bytes each line of a rate trace lets through.
const opportunity = 1500

// maxOpportunities bounds the memory that a RateTrace takes, to 80 MB.
const maxOpportunities = 10_000_000

// A RateTrace is the rate of a link that changes with time, as that of a radio link does. It says
// at which times 1,500 bytes may leave the link. It repeats from its beginning, and never changes,
// so links may share it.
type RateTrace struct {
	at     []time.Duration // sorted, the first is not before 0
	period time.Duration   // until it repeats
}

// ParseRateTrace reads a trace in the format of mahimahi: a line for each opportunity to send 1,500
// bytes, with its time in milliseconds from the beginning. Times do not fall. The last line is the
// length of the trace.
func ParseRateTrace(r io.Reader) (*RateTrace, error) {
	t := &RateTrace{}
	lines := bufio.NewScanner(r)
	for n := 1; lines.Scan(); n++ {
		text := strings.TrimSpace(lines.Text())
		if text == "" {
			continue
		}
		ms, err := strconv.ParseUint(text, 10, 40)
		at := time.Duration(ms) * time.Millisecond
		switch {
		case err != nil:
			return nil, fmt.Errorf("conntest: line %d of a rate trace: %q is no time in milliseconds", n, text)
		case len(t.at) == maxOpportunities:
			return nil, fmt.Errorf("conntest: a rate trace has more than %d lines", maxOpportunities)
		case at < t.period:
			return nil, fmt.Errorf("conntest: line %d of a rate trace: %d ms is before the line above", n, ms)
		}
		t.at, t.period = append(t.at, at), at
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("conntest: a rate trace: %w", err)
	}
	if t.period == 0 {
		return nil, fmt.Errorf("conntest: a rate trace has no length")
	}
	t.at = slices.Clip(t.at)
	return t, nil
}

// Period returns how long the trace is, before it repeats.
func (t *RateTrace) Period() time.Duration { return t.period }

// Rate returns the mean rate between two times after the beginning, in bits per second.
func (t *RateTrace) Rate(from, to time.Duration) float64 {
	if to <= from {
		return 0
	}
	return float64(t.bytes(to)-t.bytes(from)) * 8 / (to - from).Seconds()
}

// bytes returns how many bytes could leave the link until now.
func (t *RateTrace) bytes(now time.Duration) uint64 {
	now = max(now, 0)
	rounds, within := uint64(now/t.period), now%t.period
	n := sort.Search(len(t.at), func(i int) bool { return t.at[i] > within })
	return (rounds*uint64(len(t.at)) + uint64(n)) * opportunity
}

// when returns when the link has let n bytes through.
func (t *RateTrace) when(n uint64) time.Duration {
	if n == 0 {
		return 0
	}
	i := (n - 1) / opportunity
	rounds := i / uint64(len(t.at))
	return time.Duration(rounds)*t.period + t.at[i%uint64(len(t.at))]
}
