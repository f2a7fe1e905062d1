package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

const introduction = `# No head-of-line blocking

TCP delivers bytes in order. When a packet is lost, all bytes behind it wait for its retransmission, even if they
belong to another resource. In QUIC each stream has an order of its own. A lost packet holds up only the streams
that have data in it.

This page is made by ` + "`go run ./examples/holb -o docs/head-of-line`" + `, as root on Linux. The sockets are real ones, in two
network namespaces. A relay between their TUN devices carries UDP and TCP alike, at %d Mbit/s, with a round trip of %v
and a queue of one bandwidth-delay product. A client asks for a resource of %d MB. When a tenth of it has come, the
client asks for %d small resources over the same connection. The times are those of the small resources, each from its
request to its last byte. Each row is the result of %d visits. Visits do not repeat to the packet, as runs in [virtual
time](simulation.md) do.

HTTP/3 is package h3http. Its client sends no priorities, as most clients do. Then responses take turns, and a new one
sends its first 4 KB ahead of the others. In the rows "u=3, i" the client asks for turns, with that Priority field (RFC
9218). HTTP/2 is net/http over the kernel's TCP, with the kernel's controller of that name. The kernel's BBR is
version 1. A TCP socket of the server takes much of the large resource, and all of that goes out before the small
resources, with or without loss. In the rows "unsent limit" the socket takes little more than it can send, 16 KB
(TCP_NOTSENT_LOWAT). What loss adds in those rows is the wait for lost packets.

When the client's window for the connection is the limit, a server uses new credit (MAX_DATA) as soon as it comes. A
small resource would then wait up to a round trip for more. So the server keeps a sixteenth of the window, at most
16 KB, for the first 4 KB of other streams. With windows from 128 KiB to 1 MiB, 99 %% of the small resources come within
1.0 round trips, and without this within 1.8 (` + "`TestSmallBesideEndlessOfFixedWindow`" + `, in virtual time).

The first table shows the difference best. There the small resources are spread over time. Over HTTP/3 loss delays
few of them, over HTTP/2 it delays most. In the second table all are asked for at once. There the rate that the congestion
controller finds matters more than the order of the bytes.

![Small resources that have come, over time](%s.svg)
`

const ending = `
` + "`go test ./examples/holb`" + `, as root, shows the same without chance. It drops one packet of the large resource, and
every packet that brings its bytes again. Over HTTP/3 the small resources still come. Over HTTP/2 none comes until the
test lets the bytes through.
`

// writePage writes out.md and out.svg.
func writePage(out string, runs int, rows []*row) error {
	b := &strings.Builder{}
	fmt.Fprintf(b, introduction, rate/1_000_000, rtt, pages[0].large/1_000_000, pages[0].count, runs, filepath.Base(out))
	title := ""
	for _, r := range rows {
		if title != r.page.name {
			title = r.page.name
			fmt.Fprintf(b, "\n## Small ones: %s\n\n| controller | loss | protocol | half of them | 90 %% | 99 %% | the large one |\n|---|---|---|---|---|---|---|\n", title)
		}
		slices.Sort(r.small)
		slices.Sort(r.large)
		fmt.Fprintf(b, "| %s | %g %% | %s | %s | %s | %s | %s |\n", r.cc.name, 100*r.loss, protocols[r.protocol].name,
			seconds(r.small, 0.5), seconds(r.small, 0.9), seconds(r.small, 0.99), seconds(r.large, 0.5))
	}
	b.WriteString(ending)
	if err := os.WriteFile(out+".md", []byte(b.String()), 0o644); err != nil {
		return err
	}
	return os.WriteFile(out+".svg", []byte(plot(rows)), 0o644)
}

// seconds returns a quantile of sorted durations.
func seconds(d []time.Duration, q float64) string {
	return fmt.Sprintf("%.2f s", d[int(q*float64(len(d)-1))].Seconds())
}
