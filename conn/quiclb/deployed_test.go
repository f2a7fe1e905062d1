package quiclb

import (
	"encoding/base64"
	"encoding/hex"
	"testing"

	"github.com/lazoquic/lazo/internal/require"
)

// TestNetworkLoadBalancer: AWS's Network Load Balancer reads server IDs of 8 bytes in clear, in IDs
// of exactly 16 bytes. The ID comes in base64, as AWS_LBC_QUIC_SERVER_ID.
func TestNetworkLoadBalancer(t *testing.T) {
	id, err := base64.StdEncoding.DecodeString("AQIDBAUGBwg=")
	require.NoError(t, err)
	cfg := Config{ServerID: id, NonceLen: 7}
	s, err := NewSource(cfg, seeded(1))
	require.NoError(t, err)
	d, err := NewDecoder(cfg)
	require.NoError(t, err)
	for range 100 {
		var b [20]byte
		require.Equal(t, 16, s.Generate(&b))
		require.EqualValues(t, 15, b[0], "configuration 0, and the length of the rest")
		require.Equal(t, "0102030405060708", hex.EncodeToString(b[1:9]))
		sid, ok := d.ServerID(nil, b[:16])
		require.True(t, ok)
		require.Equal(t, id, sid)
	}
}
