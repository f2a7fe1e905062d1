// Command tune reads the settings of a Linux machine that matter to QUIC, explains them, and says
// what to change.
//
//	tune check [-interface NAME] [-rate MBITS] [-pause TIME] [-json] [-root DIR]
//	tune apply [-n] [-yes] [-file FILE] [the flags of check but -json]
//	tune watch [-interval TIME] [-n COUNT] [-all] [-json]
//
// check changes nothing. apply asks, and then sets values and writes a file for sysctl.d. watch
// shows UDP sockets that lose datagrams, with their processes. docs/tuning.md explains the findings
// of check.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"io"
	"io/fs"
	"os"
	"runtime"
	"time"

	"github.com/lazoquic/lazo/examples/internal/usage"
)

const usageText = `usage: tune check [flags] | tune apply [flags] | tune watch [flags]
tune check -h, tune apply -h and tune watch -h tell the flags.`

func main() {
	usage.Main("tune", func(ctx context.Context) error { return run(ctx, os.Args[1:], os.Stdin, os.Stdout) })
}

// run does what the command line says.
func run(ctx context.Context, args []string, stdin io.Reader, stdout io.Writer) error {
	var flags flag.FlagSet
	if err := usage.Parse(&flags, args, stdout, usageText); err != nil {
		return err
	}
	if flags.NArg() == 0 {
		return usage.Errorf("want a command: check, apply or watch")
	}
	rest := flags.Args()[1:]
	switch name := flags.Arg(0); name {
	case "check":
		return runCheck(rest, stdout)
	case "apply":
		return runApply(ctx, rest, stdin, stdout)
	case "watch":
		return runWatch(ctx, rest, stdout)
	default:
		return usage.Errorf("%q: want check, apply or watch", name)
	}
}

// errSystem is the error on other systems. Their settings have other names and other places.
var errSystem = errors.New("needs /proc and /sys of Linux; with -root it reads copies of them")

// source has the flags that say what check and apply look at.
type source struct {
	root  string
	iface string
	rate  float64
	pause time.Duration
}

func (s *source) register(flags *flag.FlagSet) {
	flags.StringVar(&s.root, "root", "/", "`DIR` with proc and sys in it, such as a copy from another machine")
	flags.StringVar(&s.iface, "interface", "", "network interface `NAME`; by default that of the default route")
	flags.Float64Var(&s.rate, "rate", 0, "Mbit/s to receive at; by default the speed of the interface, or 1000")
	flags.DurationVar(&s.pause, "pause", 10*time.Millisecond, "the longest time in which a program does not read its socket")
}

// machine checks the flags and returns the machine that they name. Sockets are tried only on the
// machine that runs this program.
func (s *source) machine() (*machine, error) {
	err := cmp.Or(usage.Some("root", s.root), usage.Directory("root", s.root), usage.AtLeast("rate", s.rate, 0),
		usage.Positive("pause", s.pause))
	if err != nil {
		return nil, err
	}
	own := s.root == "/"
	if own && runtime.GOOS != "linux" {
		return nil, errSystem
	}
	m := &machine{files: os.DirFS(s.root), iface: s.iface, rate: s.rate, pause: s.pause}
	if s.iface != "" && (!fs.ValidPath(s.iface) || !m.has("sys/class/net/"+s.iface)) {
		return nil, usage.Errorf("-interface %q: there is no such interface", s.iface)
	}
	if m.iface == "" {
		m.iface = m.defaultInterface()
	}
	if m.rate == 0 {
		m.rate = m.speed()
	}
	if own {
		m.tried = try(m.iface)
	}
	return m, nil
}

func runCheck(args []string, stdout io.Writer) error {
	var s source
	var flags flag.FlagSet
	s.register(&flags)
	asJSON := flags.Bool("json", false, "print JSON")
	if err := usage.Parse(&flags, args, stdout, "usage: tune check [flags]"); err != nil {
		return err
	}
	if err := usage.NoArguments(&flags); err != nil {
		return err
	}
	m, err := s.machine()
	if err != nil {
		return err
	}
	r := &report{Interface: m.iface, Rate: m.rate, Pause: m.pause.String(), Findings: findings(m)}
	if *asJSON {
		return r.json(stdout)
	}
	return r.text(stdout)
}
