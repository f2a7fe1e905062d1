package conn

import "time"

// NewEarliestCompletion returns the default Scheduler. It fills the path with the least round-trip
// time first, and gives a longer one what that has no room for, unless that makes all later:
//
//   - The last data of a transfer waits for the fast path if it arrives sooner that way. This is
//     ECF (Lim, Nahum, Towsley, Gibbens: ECF: An MPTCP Path Scheduler to Manage Heterogeneous
//     Paths, CoNEXT 2017).
//   - A slow path takes nothing that would use up the flow control window which the fast one needs
//     until it has arrived, because then the fast one has to stand still. This is the estimate of
//     BLEST (Ferlin, Alay, Mehani, Boreli: BLEST: Blocking Estimation-based MPTCP Scheduler for
//     Heterogeneous Networks, IFIP Networking 2016).
func NewEarliestCompletion() Scheduler { return &earliestCompletion{} }

type earliestCompletion struct{ waits bool } // for the fast path, since the last answer

// hysteresis is how much longer, in parts of one, the fast path is waited for once it was: the beta
// of ECF.
const hysteresis = 4

func (e *earliestCompletion) Schedule(order []PathID, s *SendState) []PathID {
	first := len(order)
	order = minRTT{}.Schedule(order, s)
	fast, kept := s.path(order[first]), order[:first+1]
	waits := false
	for _, id := range order[first+1:] {
		slow := s.path(id)
		if e.later(s, fast, slow) {
			waits = true
			continue
		}
		if !blocks(s, fast, slow) {
			kept = append(kept, id)
		}
	}
	e.waits = waits
	return kept
}

// later reports whether what waits arrives sooner if it waits for the fast path.
func (e *earliestCompletion) later(s *SendState, fast, slow *PathState) bool {
	if s.More {
		return false
	}
	margin := max(fast.RTTVar, slow.RTTVar)
	limit := slow.SmoothedRTT + margin
	if e.waits {
		limit += limit / hysteresis
	}
	rounds := max(float64(s.Waiting)/float64(max(slow.CongestionWindow, 1)), 1)
	return fast.SmoothedRTT+timeFor(s.Waiting, fast.Rate) < limit &&
		rounds*float64(slow.SmoothedRTT) >= float64(2*fast.SmoothedRTT+margin)
}

// blocks reports whether the fast path would find the window used up before a packet on the slow
// one is acknowledged.
func blocks(s *SendState, fast, slow *PathState) bool {
	needs := float64(fast.Rate) * slow.SmoothedRTT.Seconds()
	return needs > float64(s.Window)-float64(slow.BytesInFlight)-float64(slow.MTU)
}

// timeFor returns how long bytes take at a rate.
func timeFor(bytes, rate uint64) time.Duration {
	return time.Duration(float64(bytes) / float64(max(rate, 1)) * float64(time.Second))
}
