package main

import (
	"crypto/rand"
	"fmt"
	"strconv"

	"github.com/lazoquic/lazo/conn/quiclb"
	"github.com/lazoquic/lazo/loop"
)

// A katranConfig has the edge issue connection IDs by which Katran finds servers.
type katranConfig struct {
	Version  uint8  `yaml:"version"`   // of the layout, 1 to 3
	ServerID digits `yaml:"server_id"` // hexadecimal
}

// ids returns the format of connection IDs.
func (c *katranConfig) ids() (quiclb.KatranConfig, error) {
	id, err := strconv.ParseUint(string(c.ServerID), 16, 32)
	if err != nil {
		return quiclb.KatranConfig{}, fmt.Errorf("%q is not a server ID in hexadecimal", c.ServerID)
	}
	cfg := quiclb.KatranConfig{Version: c.Version, ServerID: uint32(id)}
	_, err = quiclb.NewKatranSource(cfg, rand.Reader)
	return cfg, err
}

// issue has cfg issue connection IDs of c, if it is not nil.
func (c *katranConfig) issue(cfg *loop.Config) {
	if c == nil {
		return
	}
	ids, err := c.ids()
	if err != nil {
		panic(err) // the configuration was checked
	}
	cfg.Shard = func(_ int, cfg *loop.Config) {
		source, err := quiclb.NewKatranSource(ids, rand.Reader)
		if err != nil {
			panic(err) // rand.Reader does not fail
		}
		cfg.Endpoint.ConnIDs = source
	}
}

// checkKatran returns what is wrong with the configuration of connection IDs for Katran.
func (c *config) checkKatran() error {
	if c.Katran == nil {
		return nil
	}
	if c.QUICLB != nil {
		return c.file.Errorf("katran", "give either katran or quic_lb")
	}
	if _, err := c.Katran.ids(); err != nil {
		return c.file.Errorf("katran", "%v", err)
	}
	return nil
}
