package runner

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/internal/netrelay"
	"github.com/lazoquic/lazo/internal/require"
	"github.com/lazoquic/lazo/internal/wire"
)

const (
	kb = 1 << 10
	mb = 1 << 20
)

// cases are those of the runner, in its order.
var cases = []testCase{
	{name: "handshake", run: handshake,
		asked: "one handshake without Retry, a file of 1 KB"},
	{name: "transfer", run: transfer,
		asked: "files of 2, 3 and 5 MB at once, windows grow; closed with code 0",
		daily: "0.4, 0.6 and 1 MB"},
	{name: "longrtt", run: longRTT,
		asked: "a round trip of 1.5 s; the ClientHello is sent again, and there is one handshake"},
	{name: "chacha20", run: chacha20,
		asked: "only ChaCha20-Poly1305 is offered, a file of 3 MB"},
	{name: "multiplexing", run: multiplexing,
		asked: "1,999 files over one connection, under a limit of at most 1,000 streams"},
	{name: "retry", run: retry,
		asked: "the server sends Retry, an Initial brings its token, packet numbers go on"},
	{name: "resumption", run: resumption,
		asked: "the second of two connections is without a certificate"},
	{name: "zerortt", run: zeroRTT,
		asked: "40 requests in 0-RTT packets, at most 5,000 bytes in 1-RTT packets (clients do not probe for a larger MTU)"},
	{name: "http3", run: webHTTP3,
		asked: "5, 10 and 500 KB at once over HTTP/3"},
	{name: "blackhole", run: blackhole,
		asked: "10 MB, nothing gets through for 2 s after 5 s",
		daily: "2 MB, after 1 s"},
	{name: "keyupdate", run: keyUpdate,
		asked: "both sides send in key phase 1 within 3 MB"},
	{name: "handshakeloss", run: handshakeLoss,
		asked: "50 connections, of each direction 30 % lost, at most 3 in a row",
		daily: "10 connections"},
	{name: "transferloss", run: transferLoss,
		asked: "2 MB, 2 % lost"},
	{name: "handshakecorruption", run: handshakeCorruption,
		asked: "50 connections, 30 % damaged",
		daily: "10 connections"},
	{name: "transfercorruption", run: transferCorruption,
		asked: "2 MB, 2 % damaged"},
	{name: "amplificationlimit", run: amplificationLimit,
		asked: "nine certificates, datagrams 2 to 7 of the client lost; the server sends at most three times what it got"},
	{name: "ecn", run: ecn,
		asked: "both sides mark, no mark is CE, and both report counts"},
	{name: "rebind-port", run: rebindPort,
		asked: "10 MB, another port twice meanwhile; the server challenges each path at once",
		daily: "2 MB"},
	{name: "rebind-addr", run: rebindAddr,
		asked: "the same with another address",
		daily: "2 MB"},
	{name: "ipv6", run: overIPv6,
		asked: "5 and 10 KB, nothing over IPv4"},
	{name: "connectionmigration", run: migration, lacking: noPreferredAddress,
		asked: "2 MB, the client moves to the server's preferred address, with another connection ID"},
	{name: "v2", run: version2, lacking: noVersionInformation,
		asked: "the server chooses version 2 by compatible negotiation"},
	{name: "versionnegotiation", run: versionNegotiation,
		asked: "Version Negotiation answers a version that the server does not know; the client gives up"},
}

// maxReset is the length of the longest stateless reset of either implementation (RFC 9000, Section
// 10.3).
const maxReset = 43

// one requires that a trace has one connection, in version 1, and returns that connection.
func (r *run) one(tr *trace) *session {
	r.Helper()
	require.Equal(r, 1, tr.handshakes(), "handshakes")
	require.Equal(r, map[uint32]bool{conn.Version1: true}, tr.versions(netrelay.Up, conn.PacketInitial))
	require.Len(r, tr.sessions, 1)
	for _, p := range tr.packets {
		reset := r.resets && p.typ == conn.Packet1RTT && p.size <= maxReset
		require.True(r, p.opened || p.typ == conn.PacketRetry || reset, "a packet of type %d, direction %d and %d bytes is not readable", p.typ, p.dir, p.size)
	}
	return tr.sessions[0]
}

func handshake(r *run) {
	r.begin(simple(), serverConfig{})
	tr := r.download(r.files.add(1 * kb))
	r.one(tr)
	require.Empty(r, tr.of(netrelay.Down, conn.PacketRetry))
}

func transfer(r *run) {
	names := []string{
		r.files.add(r.size(2*mb, 2*mb/5)),
		r.files.add(r.size(3*mb, 3*mb/5)),
		r.files.add(r.size(5*mb, 5*mb/5)),
	}
	r.begin(simple(), serverConfig{})
	tr := r.download(names...)
	r.one(tr)
	require.True(r, slices.ContainsFunc(tr.of(netrelay.Up, conn.Packet1RTT), func(p *packet) bool {
		return hasFrame(p.frames, wire.FrameMaxData)
	}), "the window did not grow")
}

func longRTT(r *run) {
	link := pointToPoint(750 * time.Millisecond)
	r.begin(netrelay.Config{Up: link, Down: link}, serverConfig{})
	tr := r.download(r.files.add(1 * kb))
	r.one(tr)
	hellos := 0
	for _, p := range tr.of(netrelay.Up, conn.PacketInitial) {
		for _, f := range p.frames {
			if f.typ != wire.FrameCrypto {
				continue
			}
			if offset, _, _ := wire.ParseCrypto(f.data); offset == 0 {
				hellos++
			}
		}
	}
	require.GreaterOrEqual(r, hellos, 2, "times that the ClientHello was sent")
}

func multiplexing(r *run) {
	var names []string
	for range 1999 {
		names = append(names, r.files.add(32))
	}
	r.begin(simple(), serverConfig{})
	s := r.one(r.download(names...))
	h, ok := s.encryptedExtensions()
	require.True(r, ok)
	params, err := h.params(true)
	require.NoError(r, err)
	require.LessOrEqual(r, params.MaxStreamsBidi, uint64(1000))
}

func retry(r *run) {
	r.begin(simple(), serverConfig{retry: true})
	tr := r.download(r.files.add(10 * kb))
	r.one(tr)
	retries := tr.of(netrelay.Down, conn.PacketRetry)
	require.NotEmpty(r, retries, "no Retry was sent")
	highest, used := int64(-1), false
	for _, p := range tr.of(netrelay.Up, conn.PacketInitial) {
		require.True(r, p.opened)
		if len(p.token) == 0 {
			highest = max(highest, int64(p.number))
			continue
		}
		require.Greater(r, int64(p.number), highest, "packet numbers start anew after Retry")
		used = used || slices.ContainsFunc(retries, func(retry *packet) bool { return string(retry.token) == string(p.token) })
	}
	require.True(r, used, "no Initial has a token of a Retry")
}

// resume downloads the first file over one connection, and the others over one that resumes its
// session.
func (r *run) resume(cfg clientConfig, names ...string) *trace {
	ctx := r.context(timeout, timeout)
	cache := newTicketCache()
	r.clientTLS.ClientSessionCache = cache
	first := cfg
	first.early = false
	c := r.connect(ctx, first)
	require.NoError(r, r.files.check(ctx, c, names[0]))
	require.NoError(r, cache.wait(ctx))
	require.NoError(r, c.close())
	c = r.connect(ctx, cfg)
	require.NoError(r, r.files.check(ctx, c, names[1:]...))
	require.NoError(r, c.close())
	tr := r.closedTrace(2)
	require.Equal(r, 2, tr.handshakes(), "handshakes")
	require.Len(r, tr.sessions, 2)
	return tr
}

func resumption(r *run) {
	names := []string{r.files.add(5 * kb), r.files.add(10 * kb)}
	r.begin(simple(), serverConfig{})
	tr := r.resume(clientConfig{}, names...)
	first, second := tr.sessions[0], tr.sessions[1]
	require.NotEmpty(r, first.crypto[netrelay.Down][spaceHandshake].messages(tlsCertificate))
	require.Empty(r, second.crypto[netrelay.Down][spaceHandshake].messages(tlsCertificate))
	h, ok := second.serverHello()
	require.True(r, ok)
	require.True(r, h.has(extPreSharedKey))
}

func zeroRTT(r *run) {
	const count, nameLen = 40, 250
	var names []string
	for i := range count {
		name := fmt.Sprintf("%0*d", nameLen, i)
		r.files.addNamed(name, 32)
		names = append(names, name)
	}
	r.begin(far(), serverConfig{early: true})
	tr := r.resume(clientConfig{early: true, leastMTU: true}, names...)
	early, late := 0, 0
	for _, p := range tr.of(netrelay.Up, conn.Packet0RTT) {
		early += p.size
	}
	for _, p := range tr.of(netrelay.Up, conn.Packet1RTT) {
		late += p.size
	}
	r.Logf("%d bytes in 0-RTT packets, %d in 1-RTT packets", early, late)
	require.NotZero(r, early)
	require.LessOrEqual(r, late, count*nameLen/2)
	h, ok := tr.sessions[1].encryptedExtensions()
	require.True(r, ok)
	require.True(r, h.has(extEarlyData), "the server does not accept early data")
}

func webHTTP3(r *run) {
	ctx := r.context(timeout, timeout)
	names := []string{r.files.add(5 * kb), r.files.add(10 * kb), r.files.add(500 * kb)}
	scenario := simple()
	scenario.Server = r.server.serveHTTP3(r, r.serverTLS, r.files.handler())
	r.relay = r.tap.relay(r, scenario)
	tr := r.client.transport(r.clientTLS)
	defer tr.Close()
	w := webClient{tr, "https://" + r.relay.Addr().String() + "/"}
	require.NoError(r, r.files.check(ctx, w, names...))
	r.one(r.tap.trace())
}

// A webClient downloads over HTTP/3.
type webClient struct {
	http.RoundTripper
	url string
}

func (w webClient) get(ctx context.Context, name string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, w.url+name, nil)
	if err != nil {
		return nil, err
	}
	resp, err := w.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK || !strings.HasPrefix(resp.Proto, "HTTP/3") {
		return nil, fmt.Errorf("runner: %s %s", resp.Proto, resp.Status)
	}
	return io.ReadAll(resp.Body)
}

func (webClient) updateKeys(context.Context) error { return nil }

func (webClient) close() error { return nil }

func keyUpdate(r *run) {
	ctx := r.context(timeout, timeout)
	names := []string{r.files.add(1 * kb), r.files.add(3 * mb)}
	r.begin(simple(), serverConfig{})
	c := r.connect(ctx, clientConfig{})
	require.NoError(r, r.files.check(ctx, c, names[0]))
	require.NoError(r, c.updateKeys(ctx))
	require.NoError(r, r.files.check(ctx, c, names[1]))
	require.NoError(r, c.close())
	tr := r.closedTrace(1)
	r.one(tr)
	for _, dir := range []netrelay.Dir{netrelay.Up, netrelay.Down} {
		require.True(r, slices.ContainsFunc(tr.of(dir, conn.Packet1RTT), func(p *packet) bool { return p.opened && p.phase }),
			"no packets of key phase 1 in direction %d", dir)
	}
}
