package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/lazoquic/lazo/examples/realtime/internal/world"
)

// quantiles returns the p50, p99 and p99.9 of some durations.
func quantiles(a *world.Ages) string {
	return fmt.Sprintf("p50 %v, p99 %v, p99.9 %v", a.Quantile(0.5), a.Quantile(0.99), a.Quantile(0.999))
}

// report prints what the server has done since the last report.
func (s *server) report(w io.Writer) {
	var ticks int
	var players int
	var work, late string
	var of world.Counters
	err := s.g.Loops()[0].Do(context.Background(), func(time.Time) {
		r := s.r
		ticks, players, of = r.ticks, r.w.Players(), r.w.Counters()
		work, late = quantiles(&r.work), quantiles(&r.late)
		r.ticks, r.work, r.late = 0, world.Ages{}, world.Ages{}
	})
	if err != nil {
		return // the server has ended
	}
	fmt.Fprintf(w, "server: %d players, %d ticks: %s; began late by %s\n", players, ticks, work, late)
	fmt.Fprintf(w, "server: %d positions, and dropped %d overtaken, %d stale, %d malformed; %d lines of chat, %d frames of voice\n",
		of.Positions, of.Late, of.Stale, of.Malformed, of.Chats, of.Voice)
}

// report prints what the bots have seen since the last report.
func (f *fleet) report(w io.Writer) {
	if f == nil {
		return
	}
	var playing int
	var sum world.ClientStats
	var ages, rtts string
	err := f.g.Loops()[0].Do(context.Background(), func(time.Time) {
		rtt := new(world.Ages)
		for _, b := range f.bots {
			if !b.joined {
				continue
			}
			playing++
			s := b.client.Stats()
			sum.Snapshots += s.Snapshots
			sum.Missing += s.Missing
			sum.Late += s.Late
			sum.Seen += s.Seen
			rtt.Add(s.RTT)
		}
		ages, rtts = quantiles(&f.ages), quantiles(rtt)
		f.ages = world.Ages{}
	})
	if err != nil {
		return
	}
	fmt.Fprintf(w, "bots:   %d play, each sees %.1f others; %d snapshots, %.2f %% missing, %d overtaken\n",
		playing, float64(sum.Seen)/float64(max(playing, 1)), sum.Snapshots,
		100*float64(sum.Missing)/float64(max(sum.Snapshots+sum.Missing, 1)), sum.Late)
	fmt.Fprintf(w, "bots:   round trips %s; positions of others are %s old\n", rtts, ages)
}
