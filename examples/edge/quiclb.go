package main

import (
	"bytes"
	"cmp"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/lazoquic/lazo/conn/quiclb"
	"github.com/lazoquic/lazo/loop"
)

// An lbConfig has the edge issue connection IDs that load balancers route by
// (draft-ietf-quic-load-balancers).
type lbConfig struct {
	ServerID    digits     `yaml:"server_id"`     // hexadecimal, or an IPv4 address
	ServerIDEnv string     `yaml:"server_id_env"` // the environment variable that has it
	Formats     []lbFormat `yaml:"formats"`       // the first is issued
}

// An lbFormat is a configuration that servers and balancers share.
type lbFormat struct {
	ID    int    `yaml:"id"`    // configuration rotation bits, 0 to 6
	Nonce int    `yaml:"nonce"` // length in bytes
	Key   string `yaml:"key"`   // file; default: the server ID is in clear
}

// digits are text that YAML could take for a number: 0102 would be 66.
type digits string

// UnmarshalYAML takes the text as it is in the file.
func (d *digits) UnmarshalYAML(node ast.Node) error {
	if _, ok := node.(ast.ScalarNode); !ok {
		return &yaml.SyntaxError{Message: "want text", Token: node.GetToken()}
	}
	*d = digits(node.GetToken().Value)
	return nil
}

// serverID returns the server ID in bytes.
func (c *lbConfig) serverID() ([]byte, error) {
	text := string(c.ServerID)
	if c.ServerIDEnv != "" {
		if text = os.Getenv(c.ServerIDEnv); text == "" {
			return nil, fmt.Errorf("the environment variable %s is empty", c.ServerIDEnv)
		}
	}
	if addr, err := netip.ParseAddr(text); err == nil && addr.Is4() {
		return addr.AsSlice(), nil
	}
	id, err := hex.DecodeString(text)
	if err != nil && strings.HasSuffix(text, "=") {
		id, err = base64.StdEncoding.DecodeString(text) // of the AWS Load Balancer Controller
	}
	if err != nil || len(id) == 0 {
		return nil, fmt.Errorf("%q is neither pairs of hexadecimal digits nor an IPv4 address", text)
	}
	return id, nil
}

// keyFiles returns the names of the files of all formats that have one.
func (c *lbConfig) keyFiles() (names []string) {
	if c == nil {
		return nil
	}
	for _, f := range c.Formats {
		if f.Key != "" {
			names = append(names, f.Key)
		}
	}
	return names
}

// load reads the files of keys. It returns nothing for an edge without a balancer.
func (c *lbConfig) load() (configs []quiclb.Config, err error) {
	if c == nil {
		return nil, nil
	}
	id, err := c.serverID()
	if err != nil {
		return nil, err
	}
	for _, f := range c.Formats {
		cfg, err := f.load(id)
		if err != nil {
			return nil, err
		}
		configs = append(configs, cfg)
	}
	_, err = quiclb.NewDecoder(configs...) // finds two of one ID
	return configs, err
}

// load reads the file of the key.
func (f *lbFormat) load(serverID []byte) (quiclb.Config, error) {
	cfg := quiclb.Config{ServerID: serverID, NonceLen: f.Nonce}
	if f.ID < 0 || f.ID > 6 {
		return cfg, fmt.Errorf("the ID %d is not 0 to 6", f.ID)
	}
	cfg.ID = uint8(f.ID)
	if f.Key != "" {
		text, err := os.ReadFile(f.Key)
		if err != nil {
			return cfg, err
		}
		key, err := parseLBKey(text)
		if err != nil {
			return cfg, fmt.Errorf("%s: %w", f.Key, err)
		}
		cfg.Key = &key
	}
	_, err := quiclb.NewDecoder(cfg) // checks the lengths
	return cfg, err
}

// parseLBKey reads a key of AES-128: 16 bytes, or 32 hexadecimal digits.
func parseLBKey(text []byte) (key [16]byte, err error) {
	if len(text) == len(key) {
		return [16]byte(text), nil
	}
	b, err := hex.AppendDecode(nil, bytes.TrimSpace(text))
	if err != nil || len(b) != len(key) {
		return key, errors.New("a key has 16 bytes, or 32 hexadecimal digits")
	}
	return [16]byte(b), nil
}

// checkLB returns what is wrong with the configuration of connection IDs.
func (c *config) checkLB() error {
	lb := c.QUICLB
	if lb == nil {
		return nil
	}
	if (lb.ServerID == "") == (lb.ServerIDEnv == "") {
		return c.file.Errorf("quic_lb.server_id", "give either server_id or server_id_env")
	}
	id, err := lb.serverID()
	if err != nil {
		key := "quic_lb.server_id"
		if lb.ServerIDEnv != "" {
			key += "_env"
		}
		return c.file.Errorf(key, "%v", err)
	}
	if len(lb.Formats) == 0 {
		return c.file.Errorf("quic_lb.formats", "must not be empty")
	}
	for i := range lb.Formats {
		if _, err := lb.Formats[i].load(id); err != nil {
			return c.file.Errorf(fmt.Sprintf("quic_lb.formats[%d]", i), "%v", err)
		}
	}
	if _, err := lb.load(); err != nil {
		return c.file.Errorf("quic_lb.formats", "%v", err)
	}
	return nil
}

// sameServerID reports whether two configurations issue connection IDs of one server, or none.
func sameServerID(a, b *lbConfig) bool {
	if a == nil || b == nil {
		return a == b
	}
	x, errX := a.serverID()
	y, errY := b.serverID()
	return cmp.Or(errX, errY) == nil && bytes.Equal(x, y)
}

// lbSources are the sources of the connection IDs, one for each Loop.
type lbSources []*quiclb.Source

// issue has cfg issue connection IDs of configs from the start, if there are any.
func (s *lbSources) issue(cfg *loop.Config, configs []quiclb.Config) {
	*s = nil
	if len(configs) == 0 {
		return
	}
	cfg.Shard = func(_ int, cfg *loop.Config) {
		src, err := quiclb.NewSource(configs[0], rand.Reader)
		if err != nil {
			panic(err) // configs were checked, and rand.Reader does not fail
		}
		setLB(src, configs)
		*s = append(*s, src)
		cfg.Endpoint.ConnIDs = src
	}
}

// change has the Loops of g issue IDs of other configurations from now on.
func (s lbSources) change(g *loop.Group, configs []quiclb.Config) {
	for i, l := range g.Loops() {
		if i < len(s) {
			l.Post(func(time.Time) { setLB(s[i], configs) })
		}
	}
}

// setLB makes the first configuration the one that src issues. The length of the others' IDs is
// known from then on. So clients get stateless resets for IDs that were issued before a crash.
func setLB(src *quiclb.Source, configs []quiclb.Config) {
	for _, cfg := range slices.Backward(configs) {
		if err := src.SetConfig(cfg); err != nil {
			panic(err) // configs were checked, and rand.Reader does not fail
		}
	}
}
