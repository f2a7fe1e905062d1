package hostile

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/lazoquic/lazo/internal/require"
)

// An advisory is a hole that another implementation had, and what shows that Lazo does not have it:
// the attacks that refer to it, tests of other packages, or a reason.
type advisory struct {
	id, of, hole string
	tests        []string // package.Test
	reason       string
}

func advisories() []advisory {
	return []advisory{
		{id: "CVE-2023-46239", of: "quic-go", hole: "an ACK while the keys of the handshake are dropped", tests: []string{"conn.TestACKOfDroppedSpaces"}},
		{id: "CVE-2023-49295", of: "quic-go", hole: "PATH_CHALLENGEs fill a queue"},
		{id: "CVE-2024-22189", of: "quic-go", hole: "NEW_CONNECTION_IDs fill a queue of RETIRE_CONNECTION_IDs", tests: []string{"conn.TestIDFlood"}},
		{id: "CVE-2024-53259", of: "quic-go", hole: "forged ICMP messages lower the path MTU", tests: []string{"udpio.TestDontFragment"}},
		{id: "CVE-2025-29785", of: "quic-go", hole: "panic when a path probe is lost", tests: []string{"conn.TestHostilePaths"}},
		{id: "CVE-2025-59530", of: "quic-go", hole: "panic after an early HANDSHAKE_DONE", tests: []string{"conn.TestFramesInWrongPackets", "conn.TestUndecryptablePackets"}},
		{id: "CVE-2025-64702", of: "quic-go", hole: "field sections that grow when they are decoded", tests: []string{"h3.TestCompressedBomb", "h3.TestDynamicTableBomb"}},
		{id: "CVE-2026-40898", of: "quic-go", hole: "the same for trailers", tests: []string{"h3.TestFieldLimits"}},
		{id: "CVE-2022-30591", of: "quic-go", hole: "the peer stalls path MTU discovery", tests: []string{"conn.TestMTUOfThePeer", "conn.TestMTUBlackHole"}},
		{
			id: "CVE-2026-21434, -21438, -57497", of: "webtransport-go", hole: "reasons of any length, capsules that are read whole, streams that are never forgotten",
			tests: []string{"h3/webtransport.TestCapsules", "h3/webtransport.TestCloseReason", "h3/webtransport.TestFlowOfMany"},
		},
		{id: "CVE-2023-6193", of: "quiche", hole: "PATH_CHALLENGEs fill a queue"},
		{id: "CVE-2024-1410", of: "quiche", hole: "retired connection IDs are kept", tests: []string{"conn.TestRetireFlood", "conn.TestRetiredIDsAreBounded"}},
		{id: "CVE-2024-1765", of: "quiche", hole: "CRYPTO data without a bound after the handshake", tests: []string{"conn.TestHostileCryptoInHandshake"}},
		{id: "CVE-2025-4820", of: "quiche", hole: "the window grows with optimistic ACKs", tests: []string{"conn.TestOwnPacketNumbersSkip"}},
		{id: "CVE-2025-4821", of: "quiche", hole: "the window grows with ACKs of packets that were never sent"},
		{id: "CVE-2025-7054", of: "quiche", hole: "a loop without end around retired connection IDs"},
		{id: "quiche 0.29.2", of: "quiche", hole: "events of paths pile up"},
		{id: "quiche 0.29.3", of: "quiche", hole: "memory for as long a frame as its header says"},
		{id: "quiche 2cccba05", of: "quiche", hole: "control frames on request streams"},
		{id: "quiche c4c0b978", of: "tokio-quiche", hole: "one peer keeps the loop busy", tests: []string{"udpio.TestFairness"}},
		{id: "GHSA-vr26", of: "quinn", hole: "panic in Retry", tests: []string{"conn.TestRetryWithShortID", "conn.TestClientIgnoresRetry"}},
		{id: "CVE-2026-31812", of: "quinn", hole: "panic for a transport parameter", tests: []string{"conn.TestHostileParamsOfClient", "conn.TestHostileParamsOfServer"}},
		{id: "CVE-2026-25800", of: "quinn", hole: "memory for data with gaps", tests: []string{"conn.TestSparseData"}},
		{id: "RUSTSEC-2026-0341", of: "quinn", hole: "a way around that bound", tests: []string{"conn.TestConnsTogetherKeepToMaxBuffered"}},
		{id: "GHSA-2hv7", of: "quinn", hole: "datagrams that wait to be read", tests: []string{"conn.TestDatagramReceiveQueue", "conn.TestUnreadDatagramsKeepToMaxBuffered"}},
		{id: "GHSA-hmxj", of: "quinn", hole: "datagrams that wait to be sent", tests: []string{"conn.TestDatagramPolicies"}},
		{id: "quinn d4fc3efd", of: "quinn", hole: "refusing a client costs much", tests: []string{"conn.TestCost"}},
		{id: "GHSA-rfhg", of: "s2n-quic", hole: "NEW_CONNECTION_ID again, and a migration, stop the endpoint", tests: []string{"conn.TestLateFrameOfARetiredID"}},
		{id: "GHSA-475v", of: "s2n-quic", hole: "streams above the limit", tests: []string{"conn.TestMillionStreams"}},
		{id: "GHSA-9q54-f358-3fqf", of: "s2n-quic", hole: "memory for CRYPTO data at a high offset"},
		{id: "GHSA-hvhj", of: "neqo", hole: "memory for data with gaps"},
		{id: "GHSA-5m9j", of: "neqo", hole: "panic after a replayed key update", tests: []string{"conn.TestKeysOfThePast", "conn.TestKeyUpdateFlood"}},
		{id: "neqo #3852", of: "neqo", hole: "SETTINGS that take back what early data relied on", tests: []string{"h3.TestEarlySettingsTakenBack", "conn.TestEarlyLimitsLowered"}},
		{id: "CVE-2023-36435", of: "msquic", hole: "transport parameters that are decoded twice leak"},
		{id: "CVE-2024-26190", of: "msquic", hole: "memory that is never given back", tests: []string{"conn.TestAccountBoundsHeap", "h3/h3http.TestAccountBoundsHeap"}},
		{id: "CVE-2026-105794", of: "msquic", hole: "certificates that are not checked", tests: []string{"conn.TestHandshakeAlerts"}},
		{id: "CVE-2025-54939", of: "lsquic", hole: "memory of packets before the handshake leaks", tests: []string{"conn.TestCoalescedGarbage"}},
		{id: "lsquic (stream limit)", of: "lsquic", hole: "streams that were reset do not count"},
		{id: "lsquic (hash flood)", of: "lsquic", hole: "connection IDs that fall into one bucket", tests: []string{"conn.TestConnIDFlood"}},
		{id: "CVE-2026-40170", of: "ngtcp2", hole: "transport parameters overflow a buffer of qlog", tests: []string{"conn.TestQLog"}},
		{id: "GHSA-9h2v", of: "quicly", hole: "connection IDs without end", tests: []string{"conn.TestIDFlood"}},
		{id: "CVE-2026-44434", of: "quicly", hole: "a reset token of zeros ends connections", tests: []string{"conn.TestNoResetWithoutToken"}},
		{id: "CVE-2026-34183", of: "OpenSSL", hole: "PATH_CHALLENGEs fill a queue"},
		{id: "CVE-2026-107494", of: "OpenSSL", hole: "RETIRE_CONNECTION_ID for a frame that comes again"},
		{id: "CVE-2026-44894", of: "netty", hole: "any token is taken", tests: []string{"conn.TestTokens"}},
		{id: "CVE-2026-50009", of: "netty", hole: "reset tokens follow from connection IDs", tests: []string{"conn.TestStatelessReset"}},
		{id: "CVE-2026-100662", of: "netty", hole: "memory for as long a literal as QPACK says", tests: []string{"internal/qpack.TestSectionBomb"}},
		{id: "CVE-2024-34161", of: "nginx", hole: "memory that was freed is sent", reason: "Go frees no memory that is in use"},
		{id: "CVE-2026-42530", of: "nginx", hole: "an encoder stream that is opened again", tests: []string{"h3.TestErrorCodes"}},
		{id: "CVE-2026-90678", of: "HAProxy", hole: "the length of DATA becomes a chunk of HTTP/1.1", tests: []string{"h3.TestErrorCodes"}},
		{id: "CVE-2024-49214", of: "HAProxy", hole: "early data from an address that is not its sender's", tests: []string{"conn.TestEarlyReplay", "conn.TestEarlyPacketsOfServer"}},
		{id: "HAProxy (frame types)", of: "HAProxy", hole: "a long frame type is read as PADDING without end"},
		{id: "CVE-2026-11352", of: "curl", hole: "datagrams without a byte stop the loop", tests: []string{"udpio.TestZeroLength"}},
		{id: "xquic 1.9.4", of: "xquic", hole: "CRYPTO data in small pieces", tests: []string{"conn.TestStatelessResetSizes", "conn.TestEmptyIDs"}},
		{id: "x/net 5a3baee3", of: "golang.org/x/net", hole: "an integer of QPACK overflows"},
		{id: "x/net 157f4d57", of: "golang.org/x/net", hole: "panic for Retry with a short ID", tests: []string{"conn.TestRetryWithShortID"}},
		{id: "CVE-2023-44487", of: "HTTP/2", hole: "rapid reset", tests: []string{"h3/h3http.TestRapidReset", "h3.TestCancelFlood"}},
		{id: "CVE-2025-8671", of: "HTTP/2", hole: "the server is made to reset", tests: []string{"h3.TestCancelFlood"}},
		{id: "arXiv 2412.08936", of: "research", hole: "floods of handshakes", tests: []string{"conn.TestInitialFlood", "conn.TestAmplificationOfHandshake"}},
	}
}

// TestAdvisories: each advisory has an attack, a test that exists, or a reason, and each attack
// refers to those of the list.
func TestAdvisories(t *testing.T) {
	list := advisories()
	for _, a := range attacks() {
		for _, ref := range a.refs {
			require.True(t, slices.ContainsFunc(list, func(adv advisory) bool { return adv.id == ref }), "%s: %s", a.name, ref)
		}
	}
	for _, adv := range list {
		require.True(t, len(attacksOf(adv.id)) > 0 || len(adv.tests) > 0 || adv.reason != "", adv.id)
		for _, name := range adv.tests {
			requireTest(t, name)
		}
	}
}

// requireTest fails if there is no test of a name, such as h3.TestX.
func requireTest(t *testing.T, name string) {
	t.Helper()
	dir, test, _ := strings.Cut(name, ".")
	files, err := filepath.Glob(filepath.Join("../..", dir, "*_test.go"))
	require.NoError(t, err)
	require.True(t, slices.ContainsFunc(files, func(file string) bool {
		b, err := os.ReadFile(file)
		require.NoError(t, err)
		return strings.Contains(string(b), "\nfunc "+test+"(t *testing.T")
	}), "there is no %s", name)
}

// attacksOf returns the names of the attacks that refer to an advisory.
func attacksOf(id string) (names []string) {
	for _, a := range attacks() {
		if slices.Contains(a.refs, id) {
			names = append(names, a.name)
		}
	}
	return names
}

// advisoryTable is the table of all advisories.
func advisoryTable() string {
	var b strings.Builder
	b.WriteString("\n| advisory | about | hole | attacks above | tests |\n|---|---|---|---|---|\n")
	for _, adv := range advisories() {
		tests := adv.reason
		for i, name := range adv.tests {
			if i > 0 {
				tests += " "
			}
			tests += "`" + name + "`"
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", adv.id, adv.of, adv.hole, strings.Join(attacksOf(adv.id), "; "), tests)
	}
	b.WriteString("\n")
	return b.String()
}
