package main

import (
	"context"
	"os"
	"reflect"
	"time"
)

// certPoll is how often the certificate files are looked at.
const certPoll = 5 * time.Second

// keepCurrent reloads the configuration at each signal, and certificates whose files have changed,
// until ctx is done.
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
			switch changed, err := e.site.Load().certs.refresh(); {
			case err != nil:
				e.log.Error("the certificates are as before", "error", err)
			case changed:
				e.log.Info("the certificates were reloaded")
			}
			switch changed, err := e.site.Load().keys.refresh(); {
			case err != nil:
				e.log.Error("the keys are as before", "error", err)
			case changed:
				e.useKeys()
				e.log.Info("the keys were reloaded")
			}
		}
	}
}

// reload reads the configuration again. Connections stay, and requests in progress end as they
// began. If there is a mistake in the file nothing changes.
func (e *edge) reload() error {
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
		"reset_secret": c.ResetSecret == before.config.ResetSecret,
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
// connections, and what it knows of its backends.
func (s *site) reuse(name string, c *poolConfig) *pool {
	if s == nil {
		return nil
	}
	if p := s.pools[name]; p != nil && reflect.DeepEqual(p.config, c) {
		return p
	}
	return nil
}
