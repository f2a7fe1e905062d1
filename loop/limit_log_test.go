package loop_test

import (
	"encoding/json"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lazoquic/lazo/loop"
)

// A logPage is a log that a test reads.
type logPage struct{ record }

// lines returns the lines so far, and forgets them.
func (p *logPage) lines(t *testing.T) (lines []map[string]any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for d := json.NewDecoder(&p.b); d.More(); {
		var line map[string]any
		if err := d.Decode(&line); err != nil {
			t.Fatal(err)
		}
		lines = append(lines, line)
	}
	return lines
}

// floodLog writes n lines. Inlined, it would be several places.
//
//go:noinline
func floodLog(log *slog.Logger, n int) {
	for range n {
		log.Warn("flood", "a", 1)
	}
}

// TestLimitLog: 10 lines of a flood at one place pass, and then a line says how many more there
// were. The flood does not affect another place, and later lines pass again.
func TestLimitLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		page := new(logPage)
		log := slog.New(loop.LimitLog(slog.NewJSONHandler(page, &slog.HandlerOptions{Level: slog.LevelWarn})))
		with := log.With("side", "server")
		flood := func(n int) { floodLog(with, n) }
		flood(1000)
		log.Error("another place")
		log.Info("below the level")
		lines := page.lines(t)
		if len(lines) != 11 || lines[9]["msg"] != "flood" || lines[9]["side"] != "server" || lines[10]["msg"] != "another place" {
			t.Fatalf("%d lines: %v", len(lines), lines)
		}
		time.Sleep(5 * time.Second)
		flood(1000)
		time.Sleep(6 * time.Second)
		synctest.Wait()
		lines = page.lines(t)
		if len(lines) != 1 || lines[0]["count"] != 1990.0 || lines[0]["like"] != "flood" || lines[0]["level"] != "WARN" || lines[0]["side"] != "server" {
			t.Fatalf("%d lines: %v", len(lines), lines)
		}
		flood(10)
		time.Sleep(time.Hour)
		flood(11)
		if lines = page.lines(t); len(lines) != 20 {
			t.Fatalf("%d lines: %v", len(lines), lines)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if lines = page.lines(t); len(lines) != 1 || lines[0]["count"] != 1.0 {
			t.Fatalf("%d lines: %v", len(lines), lines)
		}
	})
}

// TestLimitLogBeside: goroutines write to one log at the same time.
func TestLimitLogBeside(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		page := new(logPage)
		log := slog.New(loop.LimitLog(slog.NewJSONHandler(page, nil)))
		var all sync.WaitGroup
		for range 10 {
			all.Go(func() {
				for range 1000 {
					log.WithGroup("g").Warn("flood")
				}
			})
		}
		all.Wait()
		time.Sleep(time.Minute)
		synctest.Wait()
		lines := page.lines(t)
		if len(lines) != 11 {
			t.Fatalf("%d lines", len(lines))
		}
		if g, _ := lines[10]["g"].(map[string]any); g["count"] != 9990.0 {
			t.Errorf("%v", lines[10])
		}
	})
}
