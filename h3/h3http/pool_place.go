package h3http

import (
	"context"
	"slices"
)

// place waits until MaxRequestsPerHost allows a request to tg. Places go to those who wait, in the
// order of their calls.
func (t *Transport) place(ctx context.Context, tg target) error {
	if t.MaxRequestsPerHost <= 0 {
		return nil
	}
	t.mu.Lock()
	t.init()
	h := t.host(tg)
	if h.running < t.MaxRequestsPerHost {
		h.running++
		t.mu.Unlock()
		return nil
	}
	turn := make(chan bool)
	h.queue = append(h.queue, turn)
	t.mu.Unlock()
	select {
	case <-turn:
		return nil
	case <-ctx.Done():
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if i := slices.Index(h.queue, turn); i >= 0 {
		h.queue = slices.Delete(h.queue, i, i+1)
	} else {
		t.pass(tg, h)
	}
	return context.Cause(ctx)
}

// leavePlace gives back a place that place has given.
func (t *Transport) leavePlace(tg target) {
	if t.MaxRequestsPerHost <= 0 {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.pass(tg, t.hosts[tg])
}

// pass gives a place to the request that has waited longest. The caller has locked t.
func (t *Transport) pass(tg target, h *host) {
	if len(h.queue) > 0 {
		close(h.queue[0])
		h.queue = slices.Delete(h.queue, 0, 1)
		return
	}
	h.running--
	t.prune(tg, h)
}
