package main

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/lazoquic/lazo/conn/quiclb"
)

// checkIDs makes the decoder.
func (c *config) checkIDs() error {
	if c.Layout == katran {
		if len(c.IDs) > 0 {
			return c.file.Errorf("ids", "layout: %s has no configurations", katran)
		}
		c.decoder = quiclb.KatranDecoder{}
		return nil
	}
	var all []quiclb.Config
	for i, id := range c.IDs {
		key := fmt.Sprintf("ids[%d]", i)
		if id.ServerIDBytes < 0 || id.ServerIDBytes > 15 {
			return c.file.Errorf(key+".server_id_bytes", "%d is not 1 to 15", id.ServerIDBytes)
		}
		cfg := quiclb.Config{ID: id.Config, ServerID: make([]byte, id.ServerIDBytes), NonceLen: id.NonceBytes}
		var err error
		if cfg.Key, err = c.readKey(key, &c.IDs[i]); err != nil {
			return err
		}
		all = append(all, cfg)
		if c.decoder, err = quiclb.NewDecoder(all...); err != nil {
			return c.file.Errorf(key, "%v", err)
		}
	}
	if len(all) == 0 {
		if c.RouteBy == routeByID {
			return c.file.Errorf("ids", "route_by: %s needs at least one configuration of IDs", routeByID)
		}
		c.decoder = new(quiclb.Decoder)
	}
	return nil
}

// readKey returns the key of id, and nil if it has none. name is the name of id in the file.
func (c *config) readKey(name string, id *idConfig) (*[16]byte, error) {
	name += ".key"
	if id.secret = id.Key; id.KeyFile != "" {
		name += "_file"
		if id.Key != "" {
			return nil, c.file.Errorf(name, "give either key or key_file")
		}
		text, err := os.ReadFile(id.KeyFile)
		if err != nil {
			return nil, c.file.Errorf(name, "%v", err)
		}
		id.secret = strings.TrimSpace(string(text))
	}
	if id.Key == "" && id.KeyFile == "" {
		return nil, nil
	}
	b, err := hex.DecodeString(id.secret)
	if err != nil || len(b) != 16 {
		return nil, c.file.Errorf(name, "want 16 bytes in hexadecimal")
	}
	return (*[16]byte)(b), nil
}

// checkBackends parses addresses and server IDs.
func (c *config) checkBackends() error {
	if len(c.Backends) == 0 || len(c.Backends) > maxBackends {
		return c.file.Errorf("backends", "want 1 to %d of them", maxBackends)
	}
	owner := make(map[string]string)
	for i, b := range c.Backends {
		key := fmt.Sprintf("backends[%d]", i)
		addr, err := netip.ParseAddrPort(b.Address)
		if err != nil || addr.Addr().IsUnspecified() || addr.Port() == 0 {
			return c.file.Errorf(key+".address", "%q is not IP:PORT", b.Address)
		}
		addr = netip.AddrPortFrom(addr.Addr().Unmap(), addr.Port())
		if slices.Contains(c.addrs, addr) {
			return c.file.Errorf(key+".address", "%v is there twice", addr)
		}
		if err := c.oneOf(key+".state", b.State, stateUp, stateDrain); err != nil {
			return err
		}
		var ids [][]byte
		for j, s := range b.ServerIDs {
			key := fmt.Sprintf("%s.server_ids[%d]", key, j)
			id, err := c.serverID(s)
			if err != nil {
				return c.file.Errorf(key, "%v", err)
			}
			if other, ok := owner[string(id)]; ok {
				return c.file.Errorf(key, "%s is the ID of %s, too", s, other)
			}
			owner[string(id)] = b.Address
			ids = append(ids, id)
		}
		if len(ids) == 0 && c.RouteBy == routeByID {
			return c.file.Errorf(key+".server_ids", "%s needs a server ID", b.Address)
		}
		c.addrs, c.ids = append(c.addrs, addr), append(c.ids, ids)
	}
	return nil
}

// serverID reads a server ID as the decoder will find it.
func (c *config) serverID(s string) ([]byte, error) {
	if c.Layout == katran {
		n, err := strconv.ParseUint(s, 16, 31)
		if err != nil || n == 0 {
			return nil, fmt.Errorf("%q is not 1 to 7fffffff, in hexadecimal", s)
		}
		return binary.BigEndian.AppendUint32(nil, uint32(n)), nil
	}
	id, err := hex.DecodeString(s)
	if err != nil || !c.hasLength(len(id)) {
		return nil, fmt.Errorf("%q is not hexadecimal, or not as long as a configuration of IDs says", s)
	}
	return id, nil
}

// hasLength reports whether some configuration has server IDs of n bytes.
func (c *config) hasLength(n int) bool {
	return slices.ContainsFunc(c.IDs, func(id idConfig) bool { return id.ServerIDBytes == n })
}
