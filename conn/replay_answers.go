package conn

import (
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/lazoquic/lazo/conn/congestion"
)

// What stands in a replay for the functions and interfaces of configurations.

// provide puts what answers from the recording into a field of cfg.
func (p *player) provide(cfg *EndpointConfig, name string) error {
	switch name {
	case "Rand", "Server", "Record", "ClientHello", "RTTSample": // there already, or of no effect
	case "Admit":
		cfg.Admit = func(AdmissionRequest) Admission { return Admission(p.answer(tapeAdmission).num(0)) }
	case "ConfigForClient":
		cfg.ConfigForClient = p.choice
	case "Offload":
		cfg.Offload = func(*TLSWork) {}
	case "NonQUIC":
		cfg.NonQUIC = func(time.Time, Datagram) { p.answer(tapeNonQUIC) }
	case "Elsewhere":
		cfg.Elsewhere = func(time.Time, Datagram) bool { return p.answer(tapeElsewhere).num(0) != 0 }
	case "TakeTicket":
		cfg.TakeTicket = func(TicketID) bool { return p.answer(tapeTicket).num(0) != 0 }
	case "ConnIDs":
		cfg.ConnIDs = playedIDs{p}
	default:
		return errUnknownField
	}
	return nil
}

var errUnknownField = errors.New("the field is unknown")

// choice stands for ConfigForClient.
func (p *player) choice(AdmissionRequest) (*Config, error) {
	a := p.answer(tapeChoice)
	if a.num(1) != 0 {
		return nil, fmt.Errorf("%s", a.str(0))
	}
	return p.configs[a.num(0)], nil
}

// provideConn puts what answers from the recording into a field of cfg.
func (p *player) provideConn(cfg *Config, name string, value json.RawMessage) error {
	switch name {
	case "QLog", "Trace", "Context": // of no effect
	case "TLS":
		var t describedTLS
		if err := json.Unmarshal(value, &t); err != nil {
			return err
		}
		cfg.TLS = t.config()
	case "AllowWindowIncrease":
		cfg.AllowWindowIncrease = func(*Conn, int64) bool { return p.answer(tapeWindow).num(0) != 0 }
	case "AcceptEarlyData":
		cfg.AcceptEarlyData = func([]byte) bool { return p.answer(tapeEarly).num(0) != 0 }
	case "Tokens":
		cfg.Tokens = playedTokens{p}
	case "Scheduler":
		cfg.Scheduler = p.scheduler
	case "Congestion":
		return p.congestion(cfg, value)
	default:
		return errUnknownField
	}
	return nil
}

// config returns a configuration that looks like the recorded one to the state machine. No
// handshake runs with it.
func (t *describedTLS) config() *tls.Config {
	cfg := &tls.Config{
		ServerName: t.ServerName, NextProtos: t.NextProtos,
		SessionTicketsDisabled: t.NoTickets, MaxVersion: t.MaxVersion,
	}
	if t.ByHello {
		cfg.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { return nil, nil }
	}
	if t.Certificates {
		cfg.Certificates = make([]tls.Certificate, 1)
	}
	if t.Sessions {
		cfg.ClientSessionCache = tls.NewLRUClientSessionCache(1)
	}
	return cfg
}

// congestion chooses the algorithm by its recorded name.
func (p *player) congestion(cfg *Config, value json.RawMessage) error {
	var name string
	if err := json.Unmarshal(value, &name); err != nil {
		return err
	}
	switch name {
	case "CUBIC":
		cfg.Congestion = congestion.NewCubic
	case "NewReno":
		cfg.Congestion = congestion.NewReno
	case "BBR":
		cfg.Congestion = congestion.NewBBR
	default:
		if cfg.Congestion = p.opt.Congestion; cfg.Congestion == nil {
			return errors.New("it is the application's own: set ReplayOptions.Congestion")
		}
	}
	return nil
}

// scheduler stands for Config.Scheduler.
func (p *player) scheduler() Scheduler {
	if p.answer(tapeScheduler).num(0) == 0 {
		return nil
	}
	return playedScheduler{p}
}

type playedScheduler struct{ p *player }

func (s playedScheduler) Schedule(dst []PathID, _ *SendState) []PathID {
	for _, id := range s.p.answer(tapeSchedule).numbers {
		dst = append(dst, PathID(id))
	}
	return dst
}

// playedRand stands for EndpointConfig.Rand.
type playedRand struct{ p *player }

func (r playedRand) Read(b []byte) (int, error) {
	a := r.p.answer(tapeRand)
	if r.p.err != nil {
		return len(b), nil
	}
	got := a.str(0)
	if len(got) > len(b) || len(got) < len(b) && len(a.str(1)) == 0 {
		r.p.diverge("the Endpoint asks for %d random bytes, and the recording has %d", len(b), len(got))
		return len(b), nil
	}
	return copy(b, got), a.err(1)
}

// playedIDs stands for EndpointConfig.ConnIDs.
type playedIDs struct{ p *player }

func (s playedIDs) Generate(b *[20]byte) int {
	a := s.p.answer(tapeConnID)
	copy(b[:], a.str(0))
	return int(int64(a.num(0)))
}

func (s playedIDs) Len([]byte) int { return int(int64(s.p.answer(tapeConnID).num(0))) }

// playedTokens stands for Config.Tokens.
type playedTokens struct{ p *player }

func (t playedTokens) TakeToken(string) []byte { return t.p.answer(tapeToken).str(0) }

func (t playedTokens) PutToken(string, []byte) {}
