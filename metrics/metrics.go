package metrics

import (
	"net/http"
	"slices"
	"sync"

	"github.com/lazoquic/lazo/h3/h3http"
	"github.com/lazoquic/lazo/loop"
)

// A Metrics gathers the metrics of Groups, Servers and Transports. They are sums over all of them.
// Those that have ended still count, so counters never go back. The zero value is ready. Any
// goroutine may use it, except those of Loops.
type Metrics struct {
	mu         sync.Mutex
	groups     []*loop.Group
	servers    []*h3http.Server
	transports []*h3http.Transport
	observers  []*loopObserver
}

// Observe sets cfg.Observe, so that m learns how long things take and why connections end. Call it
// before loop.Listen or loop.New gets cfg. It replaces what cfg.Observe was before. Without it, m
// has no histograms and no reasons.
func (m *Metrics) Observe(cfg *loop.Config) {
	cfg.Observe = func(int) loop.Observer {
		o := newLoopObserver()
		m.mu.Lock()
		defer m.mu.Unlock()
		m.observers = append(m.observers, o)
		return o
	}
}

// AddGroup adds the connections and sockets of g. m keeps it for good.
func (m *Metrics) AddGroup(g *loop.Group) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.groups = append(m.groups, g)
}

// AddServer adds the requests of s. m keeps it for good.
func (m *Metrics) AddServer(s *h3http.Server) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.servers = append(m.servers, s)
}

// AddTransport adds the requests of t. m keeps it for good.
func (m *Metrics) AddTransport(t *h3http.Transport) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.transports = append(m.transports, t)
}

// Gather returns all metrics, by name. It asks the Loops of all Groups, and waits for them.
func (m *Metrics) Gather() []Family {
	m.mu.Lock()
	groups, servers, observers := slices.Clone(m.groups), slices.Clone(m.servers), slices.Clone(m.observers)
	transports := slices.Clone(m.transports)
	m.mu.Unlock()
	var f families
	if len(groups) > 0 {
		var sum loop.Stats
		for _, g := range groups {
			s := g.Stats()
			sum.Add(&s)
		}
		f.addGroup(&sum)
	}
	if len(observers) > 0 {
		f.addObservers(observers)
	}
	if len(servers) > 0 {
		var sum h3http.Stats
		for _, s := range servers {
			st := s.Stats()
			sum.Add(&st)
		}
		f.addServer(&sum)
	}
	if len(transports) > 0 {
		var sum h3http.Stats
		for _, t := range transports {
			st := t.Stats()
			sum.Add(&st)
		}
		f.addTransport(&sum)
	}
	return f
}

// ServeHTTP answers with all metrics as text that Prometheus reads.
func (m *Metrics) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", TextType)
	WriteText(w, m.Gather())
}
