package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/lazoquic/lazo/examples/realtime/internal/carriers"
	"github.com/lazoquic/lazo/internal/netrelay"
)

// The path and the time of a comparison, unless flags say otherwise.
const (
	compareLoss  = 0.03
	compareDelay = 40 * time.Millisecond
	compareFor   = time.Minute
)

// compare compares what may carry positions, and prints a table.
func compare(ctx context.Context, o *options, stdout io.Writer) error {
	cfg := carriers.Config{
		Link: netrelay.Link{Delay: o.delay, Loss: o.loss / 100},
		Seed: o.seed, For: o.duration,
	}
	if o.loss == 0 && o.delay == 0 {
		cfg.Link.Loss, cfg.Link.Delay = compareLoss, compareDelay
	}
	if cfg.For == 0 {
		cfg.For = compareFor
	}
	results, err := carriers.Compare(ctx, cfg)
	if err != nil && !errors.Is(err, carriers.ErrNoTCP) {
		return err
	}
	fmt.Fprint(stdout, carriers.Table(cfg, results))
	if err != nil {
		fmt.Fprintf(stdout, "\nThe WebSocket is not among them: %v.\n", err)
	}
	if o.plot == "" {
		return nil
	}
	return os.WriteFile(o.plot, []byte(carriers.Plot(cfg, results)), 0o644)
}
