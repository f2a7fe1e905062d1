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

TCP hands over bytes in their order: when a packet is lost, everything behind it waits for its retransmission, whichever resource it
belongs to. Streams of QUIC have an order each: a lost packet holds up those that have data in it, and no other.

Made by ` + "`go run ./examples/holb -o docs/head-of-line`" + `, as root on Linux, with real sockets: two network namespaces, and between
their TUN devices a relay that carries UDP and TCP alike, at %d Mbit/s with a round trip of %v and a queue of one
bandwidth-delay product. A client asks for %d MB, and, when a tenth of that has come, for %d small resources over the same connection.
The times are of the small ones, each from its request to its last byte. A row is %d visits; they do
not repeat to the packet, as those in [virtual time](simulation.md) do.

HTTP/3 is package h3http. Its client says nothing of priorities, as most clients do: then responses take turns, and
a new one sends its first 4 KB ahead of the others. In the rows "u=3, i" it asks for turns, with that Priority
field (RFC 9218). HTTP/2 is net/http over the kernel's TCP, with its controller of that name; its BBR is version 1.
A server's socket takes a lot of the large resource, and all that is ahead of the small ones, loss or not. So there
are rows where the socket takes little more than it can send, 16 KB (TCP_NOTSENT_LOWAT): what loss adds there is the
waiting for lost packets.

Small resources in between show the difference: over HTTP/3 loss concerns few of them, over HTTP/2 it concerns most. When all are
asked for at once, the rate that the congestion controller finds decides first, and the order of the bytes second.

![Small resources that have come, over time](%s.svg)
`

const ending = `
` + "`go test ./examples/holb`" + `, as root, shows the same without chance: one packet of the large resource is dropped, and so is whatever brings its
bytes again. Over HTTP/3 small resources go on coming; over HTTP/2 none does until it is let through.
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

// seconds is a quantile of what is sorted.
func seconds(d []time.Duration, q float64) string {
	return fmt.Sprintf("%.2f s", d[int(q*float64(len(d)-1))].Seconds())
}
