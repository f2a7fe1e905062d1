package conn

import (
	"slices"

	"github.com/lazoquic/lazo/internal/wire"
)

// maxChallenges is how many PATH_CHALLENGE frames are remembered: those of two dozen paths.
const maxChallenges = 64

// challengeMemory remembers the PATH_CHALLENGE frames that were sent on any path. An answer may
// come long after its path was validated or given up.
type challengeMemory struct {
	data   [][8]byte
	oldest int  // which one the next overwrites, once there are maxChallenges
	forgot bool // one was overwritten
}

// add notes that a PATH_CHALLENGE is sent.
func (m *challengeMemory) add(data [8]byte) {
	if len(m.data) < maxChallenges {
		m.data = append(m.data, data)
		return
	}
	m.data[m.oldest] = data
	m.oldest = (m.oldest + 1) % maxChallenges
	m.forgot = true
}

// check returns an error if data answers no PATH_CHALLENGE (RFC 9000, Section 19.18). Once some are
// forgotten it returns nil: any answer may be a late one to those.
func (m *challengeMemory) check(data [8]byte) error {
	if m.forgot || slices.Contains(m.data, data) {
		return nil
	}
	return violation(errProtocolViolation, wire.FramePathResponse, "PATH_RESPONSE to no PATH_CHALLENGE")
}
