package conn

import "errors"

// A served is a configuration for the connections of a server, ready for use.
type served struct {
	cfg *Config
	tls *serverTLS
}

// newServed takes a configuration with all defaults. Its session tickets open with keys.
func newServed(full *Config, keys [][32]byte) (*served, error) {
	if t := full.TLS; len(t.Certificates) == 0 && t.GetCertificate == nil && t.GetConfigForClient == nil {
		return nil, errors.New("conn: the TLS configuration of the server has no certificate")
	}
	s := &served{cfg: full, tls: newServerTLS(full.TLS)}
	s.tls.setKeys(keys)
	return s, nil
}

// maxServed bounds how many configurations of ConfigForClient are kept ready.
const maxServed = 256

// servedConfigs are the configurations of a server: the one of all clients, and those that
// ConfigForClient returned. The zero value is that of an Endpoint that accepts nothing.
type servedConfigs struct {
	common *served
	keys   [][32]byte
	others map[*Config]*served
}

func (t *servedConfigs) init(common *Config, keys [][32]byte) (err error) {
	t.keys = keys
	t.common, err = newServed(common, keys)
	return err
}

// setKeys replaces the keys of session tickets.
func (t *servedConfigs) setKeys(keys [][32]byte) {
	if t.common == nil {
		return
	}
	t.keys, t.others = keys, nil
	t.common.tls.setKeys(keys)
}

// choose returns the configuration for a client, which f decides if there is one.
func (t *servedConfigs) choose(f func(AdmissionRequest) (*Config, error), in AdmissionRequest) (*served, error) {
	if f == nil {
		return t.common, nil
	}
	cfg, err := f(in)
	if err != nil {
		return nil, err
	}
	if cfg == nil {
		return t.common, nil
	}
	if s := t.others[cfg]; s != nil {
		return s, nil
	}
	own := *cfg
	common := t.common.cfg
	own.Versions = common.Versions
	own.PreferredAddress4, own.PreferredAddress6 = common.PreferredAddress4, common.PreferredAddress6
	full, err := own.withDefaults()
	if err != nil {
		return nil, err
	}
	s, err := newServed(full, t.keys)
	if err != nil {
		return nil, err
	}
	if t.others == nil || len(t.others) >= maxServed {
		t.others = make(map[*Config]*served)
	}
	t.others[cfg] = s
	return s, nil
}
