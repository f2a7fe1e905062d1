// Command qlogview shows qlogs as one page of HTML that needs no network:
//
//	qlogview -o page.html server.sqlog client.sqlog
//
// It reads the logs of this library in both schemas, compressed or not, and those of the flight
// recorder. It also reads logs of other libraries: JSON text sequences, lines of JSON, and JSON
// documents such as those of aioquic.
package main

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"time"

	"github.com/lazoquic/lazo/examples/internal/usage"
)

// maxTraces is how many traces a page shows at most.
const maxTraces = 4

const help = `usage: qlogview [flags] FILE...

It writes one page of HTML about up to 4 traces: packets and losses, congestion window, bytes in
flight, round trips, what the data waited for, streams and the handshake, on one time axis.
`

func main() {
	usage.Exit("qlogview", run(os.Args[1:], os.Stdout, os.Stderr))
}

// options are what the flags say.
type options struct {
	out      string
	align    string
	from, to time.Duration
	files    []string
}

func run(args []string, stdout, stderr io.Writer) error {
	o, err := parse(args, stdout)
	if err != nil {
		return err
	}
	in := &input{report: &report{w: stderr}, from: micros(o.from), to: micros(o.to)}
	if o.to == 0 {
		in.to = math.MaxInt64
	}
	for _, name := range o.files {
		if err := in.file(name); err != nil {
			return err
		}
	}
	if len(in.traces) == 0 {
		return errors.New("no event to show")
	}
	p := newPage(in.traces, o.align, in.report.notes())
	size, err := p.write(o.out)
	if err != nil {
		return err
	}
	for _, t := range p.Traces {
		fmt.Fprint(stdout, t.facts())
	}
	fmt.Fprintf(stdout, "%s: %d bytes\n", o.out, size)
	return nil
}

func parse(args []string, stdout io.Writer) (*options, error) {
	fs := flag.NewFlagSet("qlogview", flag.ContinueOnError)
	o := new(options)
	fs.StringVar(&o.out, "o", "qlog.html", "write the page to `FILE`")
	fs.StringVar(&o.align, "align", alignAuto, "`WAY` to place traces on the time axis: clock for their time of day, start to begin "+
		"all at 0, auto for clock if all traces overlap by it and otherwise start")
	fs.DurationVar(&o.from, "from", 0, "leave out events before this `TIME`, counted from the first event of a trace")
	fs.DurationVar(&o.to, "to", 0, "leave out events after this `TIME`, counted from the first event; 0 is the end")
	if err := usage.Parse(fs, args, stdout, help); err != nil {
		return nil, err
	}
	o.files = fs.Args()
	err := cmp.Or(
		usage.Some("o", o.out), usage.NewFile("o", o.out), usage.OneOf("align", o.align, alignAuto, alignClock, alignStart),
		usage.AtLeast("from", o.from, 0), usage.AtLeast("to", o.to, 0), o.check(),
	)
	return o, err
}

// check looks at the files, and at flags that depend on each other.
func (o *options) check() error {
	switch {
	case len(o.files) == 0:
		return usage.Errorf("want a FILE to show")
	case len(o.files) > maxTraces:
		return usage.Errorf("%d files: a page shows %d at most", len(o.files), maxTraces)
	case o.to != 0 && o.to <= o.from:
		return usage.Errorf("-to %v: must be later than -from %v", o.to, o.from)
	}
	for _, name := range o.files {
		f, err := os.Open(name)
		if err != nil {
			return usage.Errorf("%v", err)
		}
		info, err := f.Stat()
		f.Close()
		switch {
		case err != nil:
			return usage.Errorf("%v", err)
		case info.IsDir():
			return usage.Errorf("%s: is a directory", name)
		}
		if out, err := os.Stat(o.out); err == nil && os.SameFile(info, out) {
			return usage.Errorf("-o %s: is one of the logs", filepath.Clean(o.out))
		}
	}
	return nil
}

func micros(d time.Duration) int64 { return int64(d / time.Microsecond) }
