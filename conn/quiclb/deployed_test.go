package quiclb

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"testing"

	"github.com/lazoquic/lazo/internal/require"
)

// TestNetworkLoadBalancer: AWS's Network Load Balancer reads server IDs of 8 bytes in clear. They
// come in base64 as AWS_LBC_QUIC_SERVER_ID, and its API writes them as 0x and 16 hexadecimal
// digits. The vector is what the AWS Load Balancer Controller makes of the values of its own test
// (github.com/kubernetes-sigs/aws-load-balancer-controller, pkg/inject/quic,
// TestQuicServerIDGenerator_basicGenerate: 500 ms, worker 100, sequence 5; pkg/k8s/pod_info.go,
// convertServerIdToELBFormat). The format is the one that its guide gives Envoy: no encryption,
// configuration 0, a nonce of 7 bytes, so IDs have 16 bytes (docs/guide/use_cases/quic).
func TestNetworkLoadBalancer(t *testing.T) {
	id, err := base64.StdEncoding.DecodeString("AAAAAfQAMgU=")
	require.NoError(t, err)
	require.EqualValues(t, 500<<24|100<<7|5, binary.BigEndian.Uint64(id))
	cfg := Config{ServerID: id, NonceLen: 7}
	s, err := NewSource(cfg, seeded(1))
	require.NoError(t, err)
	d, err := NewDecoder(cfg)
	require.NoError(t, err)
	for range 100 {
		var b [20]byte
		require.Equal(t, 16, s.Generate(&b))
		require.EqualValues(t, 15, b[0], "configuration 0, and the length of the rest")
		require.Equal(t, "0x00000001f4003205", "0x"+hex.EncodeToString(b[1:9]))
		sid, ok := d.ServerID(nil, b[:16])
		require.True(t, ok)
		require.Equal(t, id, sid)
	}
}
