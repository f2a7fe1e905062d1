package main

import (
	"time"

	"github.com/lazoquic/lazo/examples/realtime/internal/world"
	"github.com/lazoquic/lazo/loop"
)

// A link is how a player is connected: an inline connection of QUIC, or a session of WebTransport.
// All calls come from the loop.
type link interface {
	session() *world.Session
	// snapshot sends what the player sees now. It makes older snapshots that wait obsolete.
	snapshot(now time.Time)
	// flush sends what waits in the session, but for snapshots, and ends the link if the session
	// has an error.
	flush()
	// end ends the connection, whose player may come again.
	end()
}

// A realm is a world and the links of its players. It belongs to the goroutine of the loop, without
// a lock: that goroutine calls the handlers of inline connections, and runs what the goroutines of
// WebTransport post.
type realm struct {
	w     *world.World
	links map[link]bool

	ticks      int
	work, late world.Ages // of the ticks since the last report
	next       time.Time  // when a tick is due
}

func newRealm(now time.Time, seed uint64) *realm {
	return &realm{w: world.New(now, seed), links: make(map[link]bool)}
}

// run ticks until stop is closed. Then it returns, and no tick follows.
func (r *realm) run(l *loop.Loop, stop <-chan struct{}) {
	r.next = time.Now()
	timer := time.NewTimer(0)
	defer timer.Stop()
	done := make(chan time.Time, 1)
	for {
		select {
		case <-stop:
			return
		case <-timer.C:
		}
		if !l.Post(func(time.Time) { done <- r.tick() }) {
			return
		}
		select {
		case <-stop:
			return
		case next := <-done:
			timer.Reset(time.Until(next))
		}
	}
}

// tick moves the world and sends all snapshots. It returns when the next tick is due: ticks that
// could not take place are left out.
func (r *realm) tick() time.Time {
	now := time.Now() // not of the turn: what came before it in the turn took time too
	r.late.Add(now.Sub(r.next))
	r.w.Tick(now)
	for k := range r.links {
		k.snapshot(now)
	}
	r.settle()
	end := time.Now()
	r.work.Add(end.Sub(now))
	r.ticks++
	for !r.next.After(end) {
		r.next = r.next.Add(world.Tick)
	}
	return r.next
}

// add lets a link take part.
func (r *realm) add(k link) {
	k.session().UserData = k
	r.links[k] = true
}

// remove ends the player of a link.
func (r *realm) remove(k link) {
	delete(r.links, k)
	k.session().Close()
	r.settle()
}

// settle sends what the world has to say. Call it when the world has been told something.
func (r *realm) settle() {
	r.w.Dirty(func(s *world.Session) {
		if k := s.UserData.(link); r.links[k] {
			k.flush()
		}
	})
}

// end ends all links.
func (r *realm) end() {
	for k := range r.links {
		k.end()
	}
}
