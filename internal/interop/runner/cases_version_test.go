package runner

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/internal/netrelay"
	"github.com/lazoquic/lazo/internal/require"
	"github.com/lazoquic/lazo/internal/wire"
	"github.com/quic-go/quic-go"
)

// version2 has the server choose version 2 by compatible version negotiation (RFC 9368).
func version2(r *run) {
	tr := r.offerBothVersions()
	require.True(r, tr.versions(netrelay.Up, conn.PacketInitial)[conn.Version1])
	require.True(r, tr.versions(netrelay.Down, conn.PacketInitial)[conn.Version2])
	only := map[uint32]bool{conn.Version2: true}
	require.Equal(r, only, tr.versions(netrelay.Up, conn.PacketHandshake))
	require.Equal(r, only, tr.versions(netrelay.Down, conn.PacketHandshake))
}

// offerBothVersions downloads a file from a server that prefers version 2.
func (r *run) offerBothVersions() *trace {
	r.begin(simple(), serverConfig{versions: []uint32{conn.Version2, conn.Version1}})
	ctx := r.context(timeout, timeout)
	name := r.files.add(1 * kb)
	c := r.connect(ctx, clientConfig{versions: []uint32{conn.Version1, conn.Version2}})
	require.NoError(r, r.files.check(ctx, c, name))
	require.NoError(r, c.close())
	return r.closedTrace(1)
}

// noVersionInformation shows that quic-go stays in version 1, because it sends no
// version_information.
func noVersionInformation(r *run) string {
	s := r.one(r.offerBothVersions())
	require.EqualValues(r, conn.Version1, s.version)
	h, ok := s.clientHello()
	fromServer := r.server == implementation(quicGo{})
	if fromServer {
		h, ok = s.encryptedExtensions()
	}
	require.True(r, ok)
	params, err := h.params(fromServer)
	require.NoError(r, err)
	require.Zero(r, params.ChosenVersion, "quic-go has version_information now: run the case")
	return "has no version_information (RFC 9368)"
}

// versionNegotiation has a client and a server without a common version. The client must fail and
// say why.
func versionNegotiation(r *run) {
	r.begin(simple(), serverConfig{versions: []uint32{conn.Version1}})
	ctx := r.context(timeout, timeout)
	_, err := r.tryConnect(ctx, clientConfig{versions: []uint32{conn.Version2}})
	require.Error(r, err)
	if r.client == implementation(quicGo{}) {
		var negotiation *quic.VersionNegotiationError
		require.ErrorAs(r, err, &negotiation)
	} else {
		require.ErrorIs(r, err, conn.ErrVersion)
	}
	tr := r.tap.trace()
	first := tr.of(netrelay.Up, conn.PacketInitial)
	require.NotEmpty(r, first)
	require.EqualValues(r, conn.Version2, first[0].version)
	answers := tr.of(netrelay.Down, conn.PacketVersionNegotiation)
	require.NotEmpty(r, answers)
	require.Equal(r, first[0].dcid, answers[0].scid)
	require.Equal(r, first[0].scid, answers[0].dcid)
	r.reservedVersion(ctx)
}

// reservedVersion sends a version that nobody may ever speak (RFC 9000, Section 15).
func (r *run) reservedVersion(ctx context.Context) {
	sock, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(r.addr))
	require.NoError(r, err)
	defer sock.Close()
	deadline, _ := ctx.Deadline()
	require.NoError(r, sock.SetReadDeadline(deadline))
	b := make([]byte, 1500)
	b[0] = 0xc0
	copy(b[1:], []byte{0x1a, 0x2a, 0x3a, 0x4a, 8, 1, 2, 3, 4, 5, 6, 7, 8, 2, 9, 9})
	_, err = sock.Write(b[:1200])
	require.NoError(r, err)
	n, err := sock.Read(b)
	require.NoError(r, err)
	version, dcid, scid, ok := wire.ParseInvariant(b[:n])
	require.True(r, ok && version == 0)
	require.Equal(r, []byte{9, 9}, dcid)
	require.Equal(r, []byte{1, 2, 3, 4, 5, 6, 7, 8}, scid)
	versions, ok := wire.ParseVersionNegotiation(b[:n])
	require.True(r, ok)
	require.True(r, slices.ContainsFunc(slices.Collect(slices.Chunk(versions, 4)), func(v []byte) bool {
		return string(v) == "\x00\x00\x00\x01"
	}), "version 1 is not on the list")
}

// migration has a client move to the preferred address of its server.
func migration(r *run) {
	tr := r.preferAnother()
	require.Greater(r, r.validatedPaths(tr), 1, "paths that the server used")
	var paths []path
	var dcid string
	for _, p := range tr.of(netrelay.Up, conn.Packet1RTT) {
		if slices.Contains(paths, p.atClient) {
			continue
		}
		paths = append(paths, p.atClient)
		require.NotEqual(r, dcid, string(p.dcid), "the connection ID is the same on path %d", len(paths))
		dcid = string(p.dcid)
	}
	require.Len(r, paths, 2)
}

// preferAnother downloads from a server that prefers another address, if it can.
func (r *run) preferAnother() *trace {
	name := r.files.add(2 * mb)
	r.begin(simple(), serverConfig{prefer: func(second netip.AddrPort) netip.AddrPort {
		scenario := simple()
		scenario.Server = second
		return r.tap.relay(r, scenario).Addr()
	}})
	r.resets = true // late packets on the old path may carry retired connection IDs
	tr := r.download(name)
	r.one(tr)
	return tr
}

// noPreferredAddress shows that quic-go neither offers a preferred address nor goes to one.
func noPreferredAddress(r *run) string {
	tr := r.preferAnother()
	h, ok := tr.sessions[0].encryptedExtensions()
	require.True(r, ok)
	params, err := h.params(true)
	require.NoError(r, err)
	if r.server == implementation(quicGo{}) {
		require.Nil(r, params.Preferred, "quic-go has a preferred address now: run the case")
		return "its server has no preferred_address"
	}
	require.NotNil(r, params.Preferred)
	// A client that moves does so within a round trip, and the transfer takes many.
	packets := tr.of(netrelay.Up, conn.Packet1RTT)
	require.Greater(r, packets[len(packets)-1].at.Sub(packets[0].at), 200*time.Millisecond)
	for _, p := range packets {
		require.Equal(r, packets[0].atClient, p.atClient, "quic-go follows a preferred address now: run the case")
	}
	return "its client ignores preferred_address"
}
