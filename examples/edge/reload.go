package main

import (
	"context"
	"os"
	"reflect"
	"time"
)

// filePoll is how often the files that the configuration names are looked at.
const filePoll = 5 * time.Second

// keepCurrent reloads the configuration at each signal, and files that it names when they have
// changed, until ctx is done.
func (e *edge) keepCurrent(ctx context.Context, signals <-chan os.Signal, poll time.Duration) {
	tick := time.NewTicker(poll)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-signals:
			if err := e.reload(); err != nil {
				e.log.Error("the configuration is as before", "error", err)
			} else {
				e.log.Info("the configuration was reloaded")
			}
		case <-tick.C:
			e.refresh()
		}
	}
}

// reload reads the configuration again. Connections stay, and requests in progress end as they
// began. If there is a mistake in the file nothing changes.
func (e *edge) reload() error {
	e.changing.Lock()
	defer e.changing.Unlock()
	before := e.site.Load()
	c, err := readConfig(before.config.file.Name)
	if err != nil {
		return err
	}
	for key, same := range map[string]bool{
		"listen":   c.Listen == before.config.Listen,
		"admin":    c.Admin == before.config.Admin,
		"timeouts": c.Timeouts == before.config.Timeouts,

		"quic_lb":      sameServerID(c.QUICLB, before.config.QUICLB),
		"katran":       reflect.DeepEqual(c.Katran, before.config.Katran),
		"reset_secret": c.ResetSecret == before.config.ResetSecret && e.resets.check(c) == nil,
	} {
		if !same {
			return c.file.Errorf(key, "cannot change without a restart")
		}
	}
	s, err := newSite(c, e.trouble, before)
	if err != nil {
		return err
	}
	e.site.Store(s)
	e.useKeys()
	for name, p := range before.pools {
		if s.pools[name] != p {
			p.close()
		}
	}
	return nil
}

// reuse returns the pool of the same name if its configuration is the same. It keeps its
// connections, and what it knows of its backends. It reads its file of authorities again.
func (s *site) reuse(name string, c *poolConfig) (*pool, error) {
	if s == nil {
		return nil, nil
	}
	p := s.pools[name]
	if p == nil || !reflect.DeepEqual(p.config, c) {
		return nil, nil
	}
	_, err := p.authorities.refresh()
	return p, err
}
