package conn

import (
	"testing"

	"github.com/lazoquic/lazo/internal/require"
	"github.com/lazoquic/lazo/internal/wire"
)

// TestReactionWantsProof: a client that has changed to another version because of a Version
// Negotiation packet completes no handshake in which the server does not say which versions it
// speaks, or says that it speaks one that the client likes better.
// RFC 9368, Section 4 [2, 11, 12, 13, 14, 15, 16].
func TestReactionWantsProof(t *testing.T) {
	for _, test := range []struct {
		name      string
		chosen    uint32
		available []uint32
		ok        bool
	}{
		{"no version_information", 0, nil, false},
		{"no available versions", Version2, nil, false},
		{"the version that the packet left out", Version2, []uint32{Version1, Version2}, false},
		{"another version than the client offered", 0x1a2a3a4a, []uint32{Version2}, false},
		{"the same versions as the packet", Version2, []uint32{0x1a2a3a4a, Version2}, true},
	} {
		tc := startTestConn(t, false)
		c := tc.c
		own := c.local.ids[0].id.bytes()
		tc.deliver(wire.AppendVersionNegotiation(nil, 0, own, c.origin.bytes(), []uint32{Version2}), tc.peerAddr, NotECT)
		require.Equal(t, uint32(Version2), c.version, test.name)
		// A second one does not count, whatever it lists.
		tc.deliver(wire.AppendVersionNegotiation(nil, 0, own, c.origin.bytes(), []uint32{Version1}), tc.peerAddr, NotECT)
		require.Equal(t, uint32(Version2), c.version, test.name)

		p := wire.DefaultParams()
		p.InitialSCID, p.OriginalDCID = c.remote.handshake.bytes(), c.origin.bytes()
		if p.InitialSCID == nil {
			p.InitialSCID = []byte{}
		}
		p.ChosenVersion, p.AvailableVersions = test.chosen, test.available
		err := c.peerParams(wire.AppendParams(nil, &p, 1))
		if test.ok {
			require.NoError(t, err, test.name)
			continue
		}
		require.Equal(t, int64(errVersionNegotiation), errorCode(err), test.name)
	}
}
