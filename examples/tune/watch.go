package main

import (
	"cmp"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/lazoquic/lazo/examples/internal/usage"
)

func runWatch(ctx context.Context, args []string, stdout io.Writer) error {
	var flags flag.FlagSet
	interval := flags.Duration("interval", time.Second, "time between two looks at the sockets")
	rounds := flags.Int("n", 0, "how many looks to take after the first; 0 to go on until Ctrl-C")
	all := flags.Bool("all", false, "show sockets that lose nothing, too")
	asJSON := flags.Bool("json", false, "print a line of JSON at each look")
	root := flags.String("root", "/", "`DIR` with proc in it")
	if err := usage.Parse(&flags, args, stdout, "usage: tune watch [flags]"); err != nil {
		return err
	}
	err := cmp.Or(usage.NoArguments(&flags), usage.Positive("interval", *interval), usage.AtLeast("n", *rounds, 0),
		usage.Some("root", *root), usage.Directory("root", *root))
	if err != nil {
		return err
	}
	if *root == "/" && runtime.GOOS != "linux" {
		return errSystem
	}
	w := &watcher{m: &machine{files: os.DirFS(*root)}, all: *all}
	w.look()
	tick := time.NewTicker(*interval)
	defer tick.Stop()
	for n := 0; *rounds == 0 || n < *rounds; n++ {
		select {
		case <-ctx.Done():
			return nil
		case now := <-tick.C:
			if err := w.look().write(stdout, now, *asJSON); err != nil {
				return err
			}
		}
	}
	return nil
}

// A watcher compares each look at the sockets with the one before.
type watcher struct {
	m        *machine
	all      bool
	drops    map[uint64]int64 // of each socket, by inode; nil before the first look
	counters map[string]int64
}

// A look is what has happened since the one before.
type look struct {
	Time     string         `json:"time"`
	Received int64          `json:"received"` // datagrams
	Lost     int64          `json:"lost"`     // datagrams, also at sockets that are closed by now
	Sockets  []socketChange `json:"sockets"`
}

// A socketChange is a socket, and what it has lost since the look before.
type socketChange struct {
	udpSocket
	Lost int64 `json:"lost"`
}

// look looks at all sockets. It looks for the processes of only those sockets that it shows,
// because that takes long where there are many processes.
func (w *watcher) look() *look {
	sockets := w.m.sockets()
	counters, _ := w.m.udpCounters()
	l := &look{Sockets: []socketChange{}}
	now := make(map[uint64]int64, len(sockets))
	var shown []udpSocket
	for _, s := range sockets {
		now[s.Inode] = s.Drops
		if w.drops != nil && (w.all || s.Drops > w.drops[s.Inode]) {
			shown = append(shown, s)
		}
	}
	w.m.name(shown)
	for _, s := range shown {
		l.Sockets = append(l.Sockets, socketChange{s, s.Drops - w.drops[s.Inode]})
	}
	slices.SortStableFunc(l.Sockets, func(a, b socketChange) int { return cmp.Compare(b.Lost, a.Lost) })
	l.Received = counters["InDatagrams"] - w.counters["InDatagrams"]
	l.Lost = counters["RcvbufErrors"] - w.counters["RcvbufErrors"]
	w.drops, w.counters = now, counters
	return l
}

func (l *look) write(w io.Writer, now time.Time, asJSON bool) error {
	l.Time = now.Format(time.RFC3339)
	if asJSON {
		return json.NewEncoder(w).Encode(l)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s  %d received, %d lost\n", now.Format(time.TimeOnly), l.Received, l.Lost)
	for i := range l.Sockets {
		s := &l.Sockets[i]
		fmt.Fprintf(&b, "  %8d lost, %9d bytes wait  %s  %s\n", s.Lost, s.Waiting, s.Local, s.owner())
	}
	_, err := io.WriteString(w, b.String())
	return err
}
