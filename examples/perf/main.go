// Command perf measures throughput, requests, handshakes, datagrams and memory over QUIC.
//
//	perf server [-listen ADDR] [-api handler|stream] ...
//	perf client [-connect ADDR] -mode download|upload|rr|handshake|datagram|idle|active|echo ...
//	perf echo [-listen ADDR]
//	perf compare [-peers DIR] [-rounds N] ...
//
// The protocol, ALPN "perf": a client opens a bidirectional stream and sends 8 bytes, N in big-endian
// order, then what it uploads, and FIN. The server reads to the FIN and answers N bytes and FIN. Each
// side prints one line of JSON when it ends.
package main

import (
	"fmt"
	"log"
	"os"
)

const usage = `usage: perf server [flags] | perf client [flags] | perf echo [flags] | perf compare [flags]
Try perf server -help, perf client -help or perf compare -help.`

func main() {
	log.SetFlags(0)
	log.SetPrefix("perf: ")
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, usage)
		os.Exit(2)
	}
	var err error
	switch role, args := os.Args[1], os.Args[2:]; role {
	case "server":
		err = runServer(parseFlags(role, args))
	case "client":
		err = runClient(parseFlags(role, args))
	case "echo":
		err = runEchoServer(parseFlags(role, args))
	case "compare":
		err = runCompare(args)
	default:
		fmt.Fprintln(os.Stderr, usage)
		os.Exit(2)
	}
	if err != nil {
		log.Fatal(err)
	}
}
