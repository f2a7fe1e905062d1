// Command perf measures throughput, requests, handshakes, datagrams and memory over QUIC.
//
//	perf server [-listen ADDR] [-api handler|stream|http3|http2|tls] ...
//	perf client [-connect ADDR] -mode download|upload|rr|handshake|datagram|idle|active|mixed|echo ...
//	perf echo [-listen ADDR]
//	perf compare [-peers DIR] [-rounds N] [-loops 1,2,8] [-procs 1,2] ...
//
// The protocol, ALPN "perf": a client opens a bidirectional stream and sends 8 bytes, N in
// big-endian order, then its upload, and FIN. The server reads to the FIN and answers N bytes and
// FIN. With -api tls a connection of TLS over TCP takes the place of a stream. With http3 and http2
// the client sends GET /N, or POST / with its upload. Each side prints one line of JSON when it
// ends.
package main

import (
	"flag"
	"io"
	"log"
	"os"

	"github.com/lazoquic/lazo/examples/internal/usage"
)

const usageText = `usage: perf server [flags] | perf client [flags] | perf echo [flags] | perf compare [flags]
perf server -h, perf client -h and perf compare -h tell the flags.`

func main() {
	log.SetFlags(0)
	log.SetPrefix("perf: ")
	usage.Exit("perf", run(os.Args[1:], os.Stdout))
}

func run(args []string, stdout io.Writer) error {
	var fs flag.FlagSet
	if err := usage.Parse(&fs, args, stdout, usageText); err != nil {
		return err
	}
	role := fs.Arg(0)
	roles := map[string]func(*options) error{"server": runServer, "client": runClient, "echo": runEchoServer}
	switch {
	case fs.NArg() == 0:
		return usage.Errorf("what to be is missing: server, client, echo or compare")
	case role == "compare":
		return runCompare(fs.Args()[1:], stdout)
	case roles[role] == nil:
		return usage.Errorf("%q: is none of server, client, echo and compare", role)
	}
	o, err := parseFlags(role, fs.Args()[1:], stdout)
	if err != nil {
		return err
	}
	return roles[role](o)
}
