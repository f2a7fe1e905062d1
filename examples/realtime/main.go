// Command realtime is a small game, over one connection a player: positions and voice by datagram,
// chat, coins and signals by stream.
//
//	realtime [-bots N] [-loss PERCENT] [-delay TIME] [flags]                     serve
//	realtime -connect HOST:PORT [-ca FILE | -insecure] [-name NAME | -bots N]    play
//	realtime -ages [-loss PERCENT] [-delay TIME] [-for TIME] [-plot FILE]        compare
//
// The server serves a page over plain HTTP, which browsers treat as secure on this machine. The
// page plays over WebTransport. Bots, and players on the terminal, speak QUIC without HTTP, on the
// same port. With -loss or -delay everybody plays through a relay that loses and delays datagrams,
// in each direction, so that one command shows what that does:
//
//	realtime -bots 1000 -loss 3 -delay 40ms
//
// With -ages it compares how old positions get by datagram, over one stream, and over a WebSocket.
// The WebSocket needs Linux and root, because the kernel's TCP has to lose packets.
package main

import (
	"cmp"
	"context"
	"flag"
	"io"
	"os"
	"time"

	"github.com/lazoquic/lazo/examples/internal/usage"
	"github.com/lazoquic/lazo/examples/realtime/internal/world"
)

func main() {
	usage.Main("realtime", func(ctx context.Context) error { return run(ctx, os.Args[1:], os.Stdin, os.Stdout) })
}

// options are the flags.
type options struct {
	addr, page, cert string
	loss             float64 // percent
	delay            time.Duration

	connect, ca, name string
	insecure          bool

	ages bool
	plot string

	bots            int
	seed            uint64
	every, duration time.Duration
}

const usageText = `usage: realtime [-bots N] [-loss PERCENT] [-delay TIME] [flags]
       realtime -connect HOST:PORT [-ca FILE | -insecure] [-name NAME | -bots N]
       realtime -ages [-loss PERCENT] [-delay TIME] [-for TIME] [-plot FILE]
`

func run(ctx context.Context, args []string, stdin io.Reader, stdout io.Writer) error {
	var o options
	var fs flag.FlagSet
	fs.StringVar(&o.addr, "addr", "127.0.0.1:4433", "UDP `address` to serve the game on")
	fs.StringVar(&o.page, "page", "127.0.0.1:8080", "TCP `address` to serve the page on")
	fs.StringVar(&o.cert, "cert", "", "`file` to write the certificate to, as PEM")
	fs.Float64Var(&o.loss, "loss", 0, "`percent` of the datagrams that the path loses, in each direction")
	fs.DurationVar(&o.delay, "delay", 0, "`time` that the path takes, in each direction")
	fs.StringVar(&o.connect, "connect", "", "`address` of a server to play on")
	fs.StringVar(&o.ca, "ca", "", "certificate to trust, a PEM `file`")
	fs.BoolVar(&o.insecure, "insecure", false, "trust any certificate")
	fs.StringVar(&o.name, "name", "gopher", "`name` to play with")
	fs.BoolVar(&o.ages, "ages", false, "compare how old positions get by datagram, over a stream, and over a WebSocket")
	fs.StringVar(&o.plot, "plot", "", "`file` to draw the comparison to, as SVG")
	fs.IntVar(&o.bots, "bots", 0, "how many players walk about by themselves")
	fs.Uint64Var(&o.seed, "seed", 1, "what coins, bots and the path draw from")
	fs.DurationVar(&o.every, "every", 5*time.Second, "how often to report")
	fs.DurationVar(&o.duration, "for", 0, "when to end; default never, and 1m with -ages")
	if err := usage.Parse(&fs, args, stdout, usageText); err != nil {
		return err
	}
	if err := cmp.Or(usage.NoArguments(&fs), o.check(), o.checkWhere()); err != nil {
		return err
	}
	switch {
	case o.ages:
		return compare(ctx, &o, stdout)
	case o.connect == "":
		return serve(ctx, &o, stdout)
	case o.bots > 0:
		return sendBots(ctx, &o, stdout)
	}
	return play(ctx, &o, stdin, stdout)
}

// check says what is wrong with flags that always matter.
func (o *options) check() error {
	if o.bots > world.MaxPlayers {
		return usage.Errorf("-bots %d: there is room for %d players", o.bots, world.MaxPlayers)
	}
	if !(o.loss <= 100) {
		return usage.Errorf("-loss %v: want at most 100 percent", o.loss)
	}
	if len(o.name) > world.MaxName {
		return usage.Errorf("-name %q: want at most %d bytes", o.name, world.MaxName)
	}
	return cmp.Or(
		usage.Some("name", o.name),
		usage.AtLeast("bots", o.bots, 0),
		usage.AtLeast("loss", o.loss, 0),
		usage.AtLeast("delay", o.delay, 0),
		usage.Positive("every", o.every),
		usage.AtLeast("for", o.duration, 0))
}

// checkWhere says what is wrong with the flags of comparing, of serving, or of playing.
func (o *options) checkWhere() error {
	if o.ages {
		if o.connect != "" || o.ca != "" || o.insecure || o.bots != 0 || o.cert != "" {
			return usage.Errorf("-ages goes with -loss, -delay, -for, -seed and -plot only")
		}
		return usage.NewFile("plot", o.plot)
	}
	if o.plot != "" {
		return usage.Errorf("-plot goes with -ages")
	}
	if o.connect == "" {
		if o.ca != "" || o.insecure {
			return usage.Errorf("-ca and -insecure go with -connect")
		}
		return cmp.Or(usage.Address("addr", o.addr), usage.Address("page", o.page), usage.NewFile("cert", o.cert))
	}
	if o.loss != 0 || o.delay != 0 || o.cert != "" {
		return usage.Errorf("-loss, -delay and -cert are for the server, not for -connect")
	}
	if o.ca != "" && o.insecure {
		return usage.Errorf("-ca and -insecure exclude each other")
	}
	return cmp.Or(usage.Address("connect", o.connect), usage.File("ca", o.ca))
}
