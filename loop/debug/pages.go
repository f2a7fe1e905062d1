package debug

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/loop"
)

// Bounds of what a request looks at.
const (
	MaxListed = 10_000 // the oldest connections of each Loop; others are not listed

	perPage    = 100 // connections of a page of the list
	maxStreams = 500 // streams of the page of a connection
)

// Pages is the HTTP handler of the pages. The zero value is ready. Any goroutine may use it, except
// those of Loops.
type Pages struct {
	mu     sync.Mutex
	groups []*loop.Group
	ended  endings
	most   int // in place of MaxListed, for tests
}

// Handler returns the pages about the connections of groups. It keeps the groups for good.
func Handler(groups ...*loop.Group) http.Handler {
	p := new(Pages)
	for _, g := range groups {
		p.AddGroup(g)
	}
	return p
}

// AddGroup adds the connections of g. p keeps it for good.
func (p *Pages) AddGroup(g *loop.Group) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.groups = append(p.groups, g)
}

// ServeHTTP answers GET with the list of connections, or with the page of the one that ?conn=ID
// names. Its path does not matter.
func (p *Pages) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "GET only", http.StatusMethodNotAllowed)
		return
	}
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", policy())
	q := r.URL.Query()
	asJSON := q.Get("format") == "json"
	if id := q.Get("conn"); id != "" {
		p.one(w, r, id, q.Get("side"), asJSON)
		return
	}
	page, _ := strconv.Atoi(q.Get("page"))
	l, err := p.list(r.Context(), min(max(page, 0), MaxListed))
	if err != nil {
		http.Error(w, "the program does not answer: "+err.Error(), http.StatusServiceUnavailable)
		return
	}
	if asJSON {
		writeJSON(w, l)
		return
	}
	writePage(w, listHTML, l)
}

// one answers with one connection.
func (p *Pages) one(w http.ResponseWriter, r *http.Request, id, side string, asJSON bool) {
	c, err := p.find(r.Context(), id, side)
	switch {
	case err != nil:
		http.Error(w, "the program does not answer: "+err.Error(), http.StatusServiceUnavailable)
	case c == nil:
		http.Error(w, "the connection has ended, or never existed", http.StatusNotFound)
	case asJSON:
		writeJSON(w, c)
	default:
		writePage(w, connHTML, c)
	}
}

// A list is a page of the list of connections.
type list struct {
	Connections []*connection `json:"connections"`
	Total       int           `json:"total"` // that are listed, on all pages
	More        bool          `json:"more"`  // there are others, which are not listed
	Page        int           `json:"page"`  // from 0
	Pages       int           `json:"pages"`
	Loops       int           `json:"loops"`
	Stopped     int           `json:"stopped"` // Loops that have ended
	Ended       []ending      `json:"ended"`   // last first
}

// Shown returns the number of the page for people, who count from 1.
func (l *list) Shown() int { return l.Page + 1 }

// Last returns the number of the page before this one, or -1.
func (l *list) Last() int { return l.Page - 1 }

// Next returns the number of the page after this one, or -1.
func (l *list) Next() int {
	if l.Page+1 < l.Pages {
		return l.Page + 1
	}
	return -1
}

// bound returns MaxListed, or what a test has set in its place.
func (p *Pages) bound() int { return cmp.Or(p.most, MaxListed) }

// all returns the Loops of all Groups.
func (p *Pages) all() (loops []*loop.Loop) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, g := range p.groups {
		loops = append(loops, g.Loops()...)
	}
	return loops
}

// list returns a page of the list. Each Loop is asked by itself and does not wait for others.
func (p *Pages) list(ctx context.Context, page int) (*list, error) {
	l := &list{Page: page, Connections: []*connection{}, Ended: p.ended.list()}
	for _, lp := range p.all() {
		l.Loops++
		first := page*perPage - l.Total
		seen := 0
		err := lp.Do(ctx, func(now time.Time) {
			for c := range lp.Endpoint().Conns() {
				if seen == p.bound() {
					l.More = true
					break
				}
				if seen >= first && seen < first+perPage {
					l.Connections = append(l.Connections, describe(now, c, 0))
				}
				seen++
			}
		})
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err != nil {
			l.Stopped++
		}
		l.Total += seen
	}
	l.Pages = max((l.Total+perPage-1)/perPage, 1)
	return l, nil
}

// find returns the connection with an ID, or nil. A connection within one program has two sides.
func (p *Pages) find(ctx context.Context, id, side string) (found *connection, err error) {
	for _, lp := range p.all() {
		lp.Do(ctx, func(now time.Time) {
			seen := 0
			for c := range lp.Endpoint().Conns() {
				if seen++; seen > p.bound() {
					return
				}
				if c.ID().String() == id && (side == "" || side == sideOf(c)) {
					found = describe(now, c, maxStreams)
					return
				}
			}
		})
		if ctx.Err() != nil || found != nil {
			return found, ctx.Err()
		}
	}
	return nil, nil
}

func sideOf(c *conn.Conn) string {
	if c.Server() {
		return "server"
	}
	return "client"
}

// maxEnded is how many connections that have ended are remembered.
const maxEnded = 100

// endings are the connections that ended last.
type endings struct {
	mu   sync.Mutex
	ring []ending
	next int
}

func (e *endings) add(v ending) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.ring) < maxEnded {
		e.ring = append(e.ring, v)
		return
	}
	e.ring[e.next] = v
	e.next = (e.next + 1) % maxEnded
}

// list returns the endings, last first.
func (e *endings) list() []ending {
	e.mu.Lock()
	defer e.mu.Unlock()
	l := append(slices.Clone(e.ring[e.next:]), e.ring[:e.next]...)
	slices.Reverse(l)
	return l
}

// Observe sets cfg.Observe, so that p learns which connections end, and why: the list then has the
// last 100 of them. Call it before loop.Listen or loop.New gets cfg. The Observers that cfg has
// already are still called, so call it after anything else that sets cfg.Observe.
func (p *Pages) Observe(cfg *loop.Config) {
	before := cfg.Observe
	cfg.Observe = func(i int) loop.Observer {
		o := &observer{ended: &p.ended}
		if before != nil {
			o.next = before(i)
		}
		return o
	}
}

// An observer remembers how connections end.
type observer struct {
	ended *endings
	next  loop.Observer // or nil
}

func (o *observer) HandshakeDone(c *conn.Conn, took time.Duration) {
	if o.next != nil {
		o.next.HandshakeDone(c, took)
	}
}

func (o *observer) ConnClosed(c *conn.Conn, err error, lasted time.Duration) {
	o.ended.add(ending{
		ID: c.ID().String(), Side: sideOf(c), Remote: addr(c.RemoteAddr()), At: c.Began().Add(lasted).UTC(),
		Lasted: seconds(lasted), Error: errorText(err), Lost: c.Stats().PacketsLost,
	})
	if o.next != nil {
		o.next.ConnClosed(c, err, lasted)
	}
}

func (o *observer) RTTSample(c *conn.Conn, rtt time.Duration) {
	if o.next != nil {
		o.next.RTTSample(c, rtt)
	}
}

func (o *observer) TurnDone(took, late time.Duration) {
	if o.next != nil {
		o.next.TurnDone(took, late)
	}
}
