// Command linklab runs the congestion controllers over simulated links, in virtual time, and writes
// the results as a page with tables and plots:
//
//	go run ./examples/linklab -o docs/congestion
//
// makes docs/congestion.md and docs/congestion-*.svg. A seed replays every figure. SSLKEYLOGFILE
// and QLOGDIR say where keys and qlogs go. The qlogs of a whole run take many gigabytes.
//
//	go run ./examples/linklab -trace FILE,FILE
//
// runs them over links whose rate changes as in the files, and writes a table.
package main

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/lazoquic/lazo/conn/congestion"
	"github.com/lazoquic/lazo/examples/internal/usage"
)

// A controller is one that the lab compares.
type controller struct {
	name string
	make func(congestion.Params) congestion.Controller
}

var controllers = [...]controller{{"CUBIC", congestion.NewCubic}, {"BBR", congestion.NewBBR}, {"NewReno", congestion.NewReno}}

func main() {
	usage.Exit("linklab", run(os.Args[1:], os.Stdout))
}

func run(args []string, stdout io.Writer) error {
	var fs flag.FlagSet
	out := fs.String("o", "congestion", "write `FILE`.md and FILE-*.svg")
	seed := fs.Uint64("seed", 1, "of the simulated network")
	quick := fs.Bool("quick", false, "slow links only")
	files := fs.String("trace", "", "write a table for the rate traces in `FILES` instead: names with commas between them, format of mahimahi")
	rtt := fs.Duration("rtt", 50*time.Millisecond, "round trip without a queue, with -trace")
	queue := fs.Int("queue", 1<<20, "`bytes` that the queue takes, with -trace")
	if err := usage.Parse(&fs, args, stdout, "usage: linklab [flags]"); err != nil {
		return err
	}
	if *files != "" {
		t := &traces{rtt: *rtt, queue: *queue, seed: *seed}
		return cmp.Or(usage.NoArguments(&fs), t.run(strings.Split(*files, ","), stdout))
	}
	if err := cmp.Or(usage.NoArguments(&fs), usage.NewFile("o", *out+".md")); err != nil {
		return err
	}
	p := &page{seed: *seed, quick: *quick}
	endLogs, err := p.logs.open()
	if err != nil {
		return err
	}
	return errors.Join(p.write(*out), endLogs())
}

// A page is written while the simulations run.
type page struct {
	strings.Builder
	seed  uint64
	quick bool
	logs  logs
}

// write runs all simulations and writes the page.
func (p *page) write(out string) error {
	fmt.Fprintf(p, "# Congestion control on simulated links\n\n"+
		"This page is made by `go run ./examples/linklab -o docs/congestion -seed %d`, in virtual time. The same seed and code give the same figures.\n"+
		"One flow sends as fast as it can. Loss is random. It hits data, but no acknowledgements. Goodput is the rate at which the application\n"+
		"reads, as a share of the link's rate. With packets of 1,452 bytes it is at most 97.5 %%. Delay is the average time that the queue adds\n"+
		"to the round trip.\n", p.seed)
	p.grid()
	p.shortFlows()
	p.shares()
	if err := p.plots(out); err != nil {
		return err
	}
	return os.WriteFile(out+".md", []byte(p.String()), 0o644)
}

// losses are the queues, in bandwidth-delay products, and the losses of a grid.
var losses = []struct{ queue, loss float64 }{{0.5, 0}, {1, 0}, {8, 0}, {1, 0.01}, {1, 0.02}, {1, 0.05}}

// grid writes a table for each rate: round trips and queues without loss, and loss.
func (p *page) grid() {
	rates := []float64{1e6, 10e6, 100e6, 1e9}
	if p.quick {
		rates = rates[:2]
	}
	for _, rate := range rates {
		fmt.Fprintf(p, "\n## %s\n\n| round trip | queue (BDP) | loss |", bits(rate))
		for _, cc := range controllers {
			fmt.Fprintf(p, " %s goodput | delay |", cc.name)
		}
		fmt.Fprintf(p, "\n|---|---|---|%s\n", strings.Repeat("---|", 2*len(controllers)))
		for _, rtt := range []time.Duration{10 * time.Millisecond, 50 * time.Millisecond, 200 * time.Millisecond} {
			var labs []lab
			for _, c := range losses {
				for _, cc := range controllers {
					labs = append(labs, lab{rate: rate, rtt: rtt, queue: c.queue, loss: c.loss, seed: p.seed, logs: p.logs, flows: []controller{cc}})
				}
			}
			results := runAll(labs, duration(rate, rtt))
			for i, c := range losses {
				fmt.Fprintf(p, "| %v | %g | %g %% |", rtt, c.queue, 100*c.loss)
				for _, r := range results[i*len(controllers):][:len(controllers)] {
					fmt.Fprintf(p, " %.0f %% | %v |", 100*r.goodput(0)/rate, r.delay())
				}
				fmt.Fprintln(p)
			}
			fmt.Fprintf(os.Stderr, "%s, %v: done\n", bits(rate), rtt)
		}
	}
}

// duration returns how long a flow runs. That is long enough for its start not to matter much, and
// short enough to simulate.
func duration(rate float64, rtt time.Duration) time.Duration {
	d := max(20*time.Second, 100*rtt)
	if rate >= 1e9 {
		d = 10 * time.Second
	}
	return d
}

// shortFlows writes how long a transfer of 2 MB takes.
func (p *page) shortFlows() {
	const size, runs = 2_000_000, 7
	fmt.Fprintf(p, "\n## 2 MB at 100 Mbit/s and 50 ms\n\nThe table has the seconds until the last byte was read, as the median of %d seeds. "+
		"By RFC 9438, CUBIC should take 4.2, 7.0 and 9.1 s in the rows with loss.\n\n| loss |", runs)
	for _, cc := range controllers {
		fmt.Fprintf(p, " %s |", cc.name)
	}
	fmt.Fprintf(p, "\n|---|%s\n", strings.Repeat("---|", len(controllers)))
	for _, loss := range []float64{0, 0.01, 0.02, 0.03} {
		fmt.Fprintf(p, "| %g %% |", 100*loss)
		for _, cc := range controllers {
			var labs []lab
			for i := range uint64(runs) {
				labs = append(labs, lab{rate: 100e6, rtt: 50 * time.Millisecond, queue: 1, loss: loss, seed: p.seed + i,
					logs: p.logs, flows: []controller{cc}, size: size})
			}
			var took []time.Duration
			for _, r := range runAll(labs, 5*time.Minute) {
				took = append(took, r.took)
			}
			fmt.Fprintf(p, " %.1f |", median(took).Seconds())
		}
		fmt.Fprintln(p)
	}
}

// shares writes how two flows share a link: the share of the first.
func (p *page) shares() {
	const rate, runs = 20e6, 20
	queues := []float64{0.5, 1, 2, 4}
	fmt.Fprintf(p, "\n## Two flows on %s, for 60 s\n\nThe second flow starts 2 s after the first. Each figure is the share of the first flow, in percent of what both read: "+
		"the median\nof %d seeds, and the least and the most of them. The columns are queues, in bandwidth-delay products.\n\n| first | second | round trip |", bits(rate), runs)
	for _, queue := range queues {
		fmt.Fprintf(p, " %g |", queue)
	}
	fmt.Fprintf(p, " goodput of both, at least |\n|---|---|---|%s---|\n", strings.Repeat("---|", len(queues)))
	cubic, bbr := controllers[0], controllers[1]
	const ms = time.Millisecond
	for _, c := range []struct {
		flows []controller
		rtts  []time.Duration
	}{
		{[]controller{cubic, cubic}, []time.Duration{20 * ms, 50 * ms, 100 * ms, 200 * ms}},
		{[]controller{bbr, bbr}, []time.Duration{20 * ms, 50 * ms, 100 * ms, 200 * ms}},
		{[]controller{cubic, bbr}, []time.Duration{50 * ms, 100 * ms}},
		{[]controller{bbr, cubic}, []time.Duration{50 * ms, 100 * ms}},
	} {
		for _, rtt := range c.rtts {
			fmt.Fprintf(p, "| %s | %s | %v |", c.flows[0].name, c.flows[1].name, rtt)
			least := 1.0
			for _, queue := range queues {
				var labs []lab
				for i := range uint64(runs) {
					labs = append(labs, lab{rate: rate, rtt: rtt, queue: queue, seed: p.seed + i, logs: p.logs, flows: c.flows})
				}
				first, used := shared(runAll(labs, 60*time.Second))
				least = min(least, used/rate)
				fmt.Fprintf(p, " %.0f (%.0f to %.0f) |", 100*first[runs/2], 100*first[0], 100*first[runs-1])
			}
			fmt.Fprintf(p, " %.0f %% |\n", 100*least)
		}
	}
}

// shared returns the shares of the first flow, in order, and the median of what both read, in bits
// per second.
func shared(results []*result) (first []float64, used float64) {
	var both []float64
	for _, r := range results {
		a, b := r.goodput(0), r.goodput(1)
		first, both = append(first, a/(a+b)), append(both, a+b)
	}
	slices.Sort(first)
	slices.Sort(both)
	return first, both[len(both)/2]
}

// plots draws window, rate and round trip over time.
func (p *page) plots(out string) error {
	fmt.Fprintf(p, "\n## Over time\n\nThe link has 100 Mbit/s, a round trip of 50 ms and a queue of one bandwidth-delay product.\n")
	for _, loss := range []float64{0, 0.01} {
		for _, cc := range controllers[:2] {
			l := lab{rate: 100e6, rtt: 50 * time.Millisecond, queue: 1, loss: loss, seed: p.seed, logs: p.logs, flows: []controller{cc}}
			r := l.run(20 * time.Second)
			title := fmt.Sprintf("%s, %g %% loss", cc.name, 100*loss)
			file := fmt.Sprintf("%s-%s-%g.svg", out, strings.ToLower(cc.name), 100*loss)
			if err := os.WriteFile(file, []byte(plot(title, r.samples, l.rate)), 0o644); err != nil {
				return err
			}
			fmt.Fprintf(p, "\n![%s](%s)\n", title, filepath.Base(file))
		}
	}
	return nil
}

// bits writes a rate.
func bits(rate float64) string {
	if rate >= 1e9 {
		return fmt.Sprintf("%g Gbit/s", rate/1e9)
	}
	return fmt.Sprintf("%g Mbit/s", rate/1e6)
}
