package main

import (
	"cmp"
	"flag"
	"fmt"
	"io"
	"net/netip"
	"os"
	"runtime/pprof"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/lazoquic/lazo/examples/internal/usage"
)

// options are the flags of server and client.
type options struct {
	listen, connect, mode, api, kx, cc string
	bytes, ops, conns, maxStreams      byteSize
	streamWindow, connWindow           byteSize
	concurrency, loops, serverPID      int
	over                               int
	secs, rate, requestRate            float64
	uniform, resume                    bool
	gcSignal, datagrams, socketPerConn bool
	cpuProfile, memProfile, cert, key  string
	warm, giveUp                       time.Duration
	exitAfterConns                     byteSize
}

// A byteSize is a number with an optional suffix K, M or G.
type byteSize int64

// String returns the number.
func (v *byteSize) String() string { return strconv.FormatInt(int64(*v), 10) }

// Set parses the number.
func (v *byteSize) Set(s string) error {
	shift := 0
	if len(s) > 0 {
		if i := strings.IndexByte("KMG", s[len(s)-1]&^0x20); i >= 0 {
			shift, s = 10*(i+1), s[:len(s)-1]
		}
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 0 || n > 1<<53>>shift {
		return fmt.Errorf("%q is not a size like 65536, 64K, 2M or 1G", s)
	}
	*v = byteSize(n << shift)
	return nil
}

func parseFlags(role string, args []string, stdout io.Writer) (*options, error) {
	o := &options{bytes: 1 << 30, ops: 1, conns: 2000, maxStreams: 128}
	var f flag.FlagSet
	f.StringVar(&o.listen, "listen", "127.0.0.1:4433", "server: UDP address")
	f.StringVar(&o.connect, "connect", "127.0.0.1:4433", "client: UDP address of the server")
	f.StringVar(&o.mode, "mode", "download", "client: download, upload, rr, handshake, datagram, idle, active (requests of a few connections among many; with -rate of all), mixed (handshakes beside requests) or echo (of perf echo)")
	f.StringVar(&o.api, "api", "handler", "handler (inside the loop), stream (blocking), http3, http3shared (the same, whose server sends memory without a copy), h3loop (inside the loop; a server), http2 (of net/http, over TCP) or tls (over TCP, a connection an exchange)")
	f.StringVar(&o.kx, "kx", "x25519", "key exchange: x25519, or default (X25519MLKEM768)")
	f.StringVar(&o.cc, "cc", "cubic", "congestion control: cubic, newreno or bbr")
	f.Var(&o.bytes, "bytes", "bytes a stream (K, M, G)")
	f.Var(&o.ops, "ops", "streams or handshakes in all")
	f.Var(&o.conns, "conns", "idle and active: connections that rest; mixed: connections that make requests")
	f.Var(&o.maxStreams, "max-streams", "streams at a time")
	f.Var(&o.streamWindow, "stream-window", "fixed window of a stream in bytes; 0 lets it grow")
	f.Var(&o.connWindow, "conn-window", "fixed window of the connection in bytes; 0 lets it grow")
	f.IntVar(&o.concurrency, "concurrency", 1, "streams or connections at a time")
	f.IntVar(&o.over, "over", 1, "client: connections that the streams of a mode are spread over")
	f.IntVar(&o.loops, "loops", 1, "loops, each with a socket")
	f.IntVar(&o.serverPID, "server-pid", 0, "idle, active and mixed: process whose memory or CPU time to read")
	f.Float64Var(&o.rate, "rate", 0, "handshake: at most so many a second; 0 for no limit; active: so many requests a second, at random times and on random connections; mixed: so many handshakes a second")
	f.Float64Var(&o.requestRate, "request-rate", 1000, "mixed: so many requests a second")
	f.DurationVar(&o.giveUp, "give-up", dialTimeout, "client: how long a handshake may take")
	f.BoolVar(&o.resume, "resume", false, "handshake: each resumes the session of one before it")
	f.BoolVar(&o.uniform, "uniform", false, "active: requests of all connections in turn")
	f.Float64Var(&o.secs, "secs", 3, "datagram and mixed: seconds")
	f.BoolVar(&o.gcSignal, "gc-signal", false, "idle: send SIGUSR1 to the server, which makes it collect garbage")
	f.BoolVar(&o.datagrams, "datagrams", true, "server: take datagrams")
	f.BoolVar(&o.socketPerConn, "socket-per-conn", false, "client: a socket for each connection")
	f.StringVar(&o.cpuProfile, "cpuprofile", "", "write a CPU profile to this file")
	f.StringVar(&o.memProfile, "memprofile", "", "write an allocation profile to this file")
	f.StringVar(&o.cert, "cert", "", "server: PEM file of the certificate; default self-signed")
	f.StringVar(&o.key, "key", "", "server: PEM file of its key")
	f.DurationVar(&o.warm, "warm", 0, "client: pause between the first stream and the timed part")
	f.Var(&o.exitAfterConns, "exit-after-conns", "server: end when so many connections have closed")
	if err := usage.Parse(&f, args, stdout, "usage: perf "+role+" [flags]"); err != nil {
		return nil, err
	}
	return o, cmp.Or(usage.NoArguments(&f), o.check())
}

func (o *options) check() error {
	if _, err := netip.ParseAddrPort(o.connect); err != nil {
		return usage.Errorf("-connect %q: want IP:PORT", o.connect)
	}
	return cmp.Or(
		usage.Address("listen", o.listen),
		usage.OneOf("mode", o.mode, "download", "upload", "rr", "handshake", "datagram", "idle", "active", "mixed", "echo"),
		usage.OneOf("api", o.api, "handler", "stream", "http3", "http3shared", "h3loop", "http2", "tls"),
		o.checkMode(),
		usage.OneOf("kx", o.kx, "x25519", "default"),
		usage.OneOf("cc", o.cc, "cubic", "newreno", "bbr"),
		usage.AtLeast("ops", int64(o.ops), 1),
		usage.AtLeast("conns", int64(o.conns), 1),
		usage.AtLeast("max-streams", int64(o.maxStreams), 1),
		usage.AtLeast("concurrency", o.concurrency, 1),
		usage.AtLeast("over", o.over, 1),
		usage.AtLeast("loops", o.loops, 1),
		usage.AtLeast("server-pid", o.serverPID, 0),
		usage.AtLeast("rate", o.rate, 0),
		usage.Positive("request-rate", o.requestRate),
		usage.Positive("give-up", o.giveUp),
		usage.Positive("secs", o.secs),
		usage.AtLeast("warm", o.warm, 0),
		usage.NewFile("cpuprofile", o.cpuProfile),
		usage.NewFile("memprofile", o.memProfile),
		usage.Together("cert", o.cert, "key", o.key),
		usage.File("cert", o.cert),
		usage.File("key", o.key))
}

// checkMode wants a mode that the API has.
func (o *options) checkMode() error {
	modes := []string{"download", "upload", "rr", "handshake", "idle", "active", "mixed"}
	switch {
	case o.resume && o.mode != "handshake":
		return usage.Errorf("-resume: -mode %s does not count handshakes", o.mode)
	case o.mode == "mixed" && o.rate == 0:
		return usage.Errorf("-mode mixed: -rate is missing")
	case o.api == "tls":
		modes = []string{"download", "upload", "handshake"}
	case !o.http():
		return nil
	}
	if !slices.Contains(modes, o.mode) {
		return usage.Errorf("-mode %s: -api %s has only %s", o.mode, o.api, strings.Join(modes, ", "))
	}
	return nil
}

// profile starts the CPU profile; the function that it returns ends the profiles.
func (o *options) profile() (stop func(), err error) {
	var w *os.File
	if o.cpuProfile != "" {
		if w, err = os.Create(o.cpuProfile); err != nil {
			return nil, err
		}
		if err := pprof.StartCPUProfile(w); err != nil {
			return nil, err
		}
	}
	return func() {
		if w != nil {
			pprof.StopCPUProfile()
			w.Close()
		}
		if o.memProfile != "" {
			if m, err := os.Create(o.memProfile); err == nil {
				pprof.Lookup("allocs").WriteTo(m, 0)
				m.Close()
			}
		}
	}, nil
}
