package conntest

import (
	"strings"
	"testing"
	"time"

	"github.com/lazoquic/lazo/internal/require"
)

func parseTrace(t *testing.T, text string) *RateTrace {
	t.Helper()
	tr, err := ParseRateTrace(strings.NewReader(text))
	require.NoError(t, err)
	return tr
}

// TestRateTrace: a link sends when its trace lets it, and what nobody uses is lost.
func TestRateTrace(t *testing.T) {
	ms := time.Millisecond
	tr := parseTrace(t, "2\n2\n\n10\n") // 3,000 bytes at 2 ms, 1,500 at 10 ms, and again
	require.Equal(t, 10*ms, tr.Period())
	require.InEpsilon(t, 3.6e6, tr.Rate(0, time.Second), 0.001)
	require.InEpsilon(t, 12e6, tr.Rate(ms, 3*ms), 0.001)
	require.Zero(t, tr.Rate(3*ms, 3*ms))

	l := newLink(&Link{Trace: tr, Queue: 4000, Delay: ms}, 1, 0)
	at := func(now time.Duration, size int) time.Duration { return l.send(now, packet(size)).at[0] - ms }
	require.Equal(t, 2*ms, at(0, 1500))
	require.Equal(t, 2*ms, at(0, 1500), "the second one of the same time")
	require.Equal(t, 10*ms, at(0, 700))
	require.Equal(t, overflowed, l.send(ms, packet(1000)).fate, "3,700 bytes wait")
	require.Equal(t, 10*ms, at(3*ms, 800), "the rest of the same one")
	require.Equal(t, 12*ms, at(3*ms, 1))
	require.Equal(t, 50*ms, at(45*ms, 1500), "what was not used is lost")
	require.Equal(t, 52*ms, at(45*ms, 1500))
	require.Equal(t, 52*ms, at(50*ms, 1500))
	require.Equal(t, 60*ms, at(50*ms, 1))
}

func TestRateTraceErrors(t *testing.T) {
	for text, want := range map[string]string{
		"":                            "no length",
		"0\n":                         "no length",
		"5\nx\n":                      `line 2 of a rate trace: "x" is no time`,
		"5\n4\n":                      "line 2 of a rate trace: 4 ms is before",
		"-1\n":                        `line 1 of a rate trace: "-1" is no time`,
		"1\n1e9\n":                    "line 2",
		"9" + strings.Repeat("9", 20): "line 1",
	} {
		_, err := ParseRateTrace(strings.NewReader(text))
		require.ErrorContains(t, err, want)
	}
}
