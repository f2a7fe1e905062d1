package conn

import (
	"testing"
	"time"

	"github.com/lazoquic/lazo/internal/pacing"
	"github.com/lazoquic/lazo/internal/require"
	"github.com/lazoquic/lazo/internal/wire"
)

// TestNoSampleOfQuietPackets: the acknowledgement of a packet that did not ask for one is no RTT
// sample. RFC 9002, Section 5.1 [2].
func TestNoSampleOfQuietPackets(t *testing.T) {
	sides(t, func(t *testing.T, server bool) {
		tc := newTestConn(t, server)
		before := tc.c.path.rtt
		tc.write(pingFrame())
		tc.write(pingFrame())
		tc.wantType("the pair is acknowledged", wire.FrameAck)
		tc.now = tc.now.Add(500 * time.Millisecond)
		tc.ackAll()
		require.Equal(t, before, tc.c.path.rtt)
	})
}

// TestAckDelayBeforeConfirmation: a peer that is busy with the handshake may wait longer than it
// says. RFC 9002, Section 5.3 [1, 2, 3].
func TestAckDelayBeforeConfirmation(t *testing.T) {
	tc := newTestConn(t, false)
	require.Equal(t, maxAckDelay, tc.c.decodeAckDelay(35_000>>ackDelayExponent))
	tc.c.state = stateComplete
	require.Equal(t, 35*time.Millisecond, tc.c.decodeAckDelay(35_000>>ackDelayExponent))
}

// TestProbeTimeoutRestarts: at each ack-eliciting packet and at each acknowledgement. It is never
// shorter than the round trip and the granularity of timers. RFC 9002, Section 6.2.1 [1, 4].
func TestProbeTimeoutRestarts(t *testing.T) {
	tc := newTestConn(t, false)
	tc.ping()
	tc.flush()
	tc.wantTimer("a probe is due", testPTO)
	tc.now = tc.now.Add(5 * time.Millisecond)
	tc.ping()
	tc.flush()
	tc.wantTimer("the next packet puts it off", testPTO)
	tc.c.path.rtt.variance = 0
	tc.ping()
	tc.flush()
	tc.wantTimer("there is a granularity", testRTT+timerGranularity+maxAckDelay)
}

// TestDroppedKeysRestartTimers: packets of an Initial space that was dropped are not in flight, and
// their backoff is over. RFC 9002, Section 6.2.2 [3], and RFC 9002, Section 6.4 [1].
func TestDroppedKeysRestartTimers(t *testing.T) {
	tc := startTestConn(t, false)
	tc.collect()
	tc.takeDatagrams() // they are lost
	for range 2 {
		tc.now = tc.e.Timeout()
		tc.e.HandleTimeout(tc.now)
		tc.collect()
		if tc.c.timeouts.count == 1 {
			tc.takeDatagrams()
		}
	}
	require.Equal(t, 2, int(tc.c.timeouts.count))
	require.NotZero(t, tc.c.path.inFlight)
	tc.exchange(func() bool { return tc.c.spaces[spaceInitial] == nil })
	require.Nil(t, tc.c.spaces[spaceInitial])
	require.Zero(t, int(tc.c.timeouts.count))
	tc.exchange(func() bool { return false })
	require.Zero(t, tc.c.path.inFlight)
}

// TestChallengeIsNoSample: how long the answer to a PATH_CHALLENGE takes is no RTT sample of the
// new path. RFC 9002, Section 6.2.2 [2].
func TestChallengeIsNoSample(t *testing.T) {
	tc := newTestConn(t, true)
	tc.writeFrom(elsewhere(3), 1200, pingFrame())
	f, _ := tc.wantType("the new path is challenged", wire.FramePathChallenge)
	tc.now = tc.now.Add(90 * time.Millisecond)
	f.typ = wire.FramePathResponse
	tc.writeFrom(elsewhere(3), 1200, f)
	require.True(t, tc.c.path.validated && tc.c.path.remote == elsewhere(3))
	require.False(t, tc.c.path.rtt.sampled)
	require.Equal(t, tc.c.cfg.InitialRTT, tc.c.path.rtt.smoothed)
}

// TestAckIsNotPaced: while data waits for the pacer, an acknowledgement goes alone. RFC 9002,
// Section 7.7 [1, 4].
func TestAckIsNotPaced(t *testing.T) {
	sides(t, func(t *testing.T, server bool) {
		tc := newTestConn(t, server)
		tc.c.path.pacing = pacing.Limits{Rate: 1000, Quantum: 1200, Burst: 2400}
		s := tc.open(Uni)
		tc.writeStream(s, string(make([]byte, 8000)))
		tc.collect()
		require.LessOrEqual(t, len(tc.queue), 3)
		require.NotZero(t, tc.c.paceAt)
		tc.flush()
		tc.write(pingFrame())
		tc.write(pingFrame())
		_, p := tc.wantType("the pair is acknowledged", wire.FrameAck)
		require.Len(t, p.frames, 1)
	})
}
