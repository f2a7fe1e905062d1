package handover

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"time"

	"github.com/lazoquic/lazo/loop"
)

const (
	// readyWait is how long a successor may take from Open to Ready. Another one waits meanwhile.
	readyWait = time.Minute

	// handshakeWait bounds how long Superseded waits for handshakes in progress. They mostly end
	// earlier, by their own HandshakeTimeout.
	handshakeWait = time.Minute
)

// Ready makes this process the one that reads. It takes over from the predecessor, if there is one.
// If that fails, the predecessor goes on serving. The caller then closes the Group and h.
func (h *Handover) Ready(ctx context.Context) error {
	if h.group == nil {
		return errors.New("handover: Ready before Group")
	}
	ln, err := listen(h.path)
	if err != nil {
		return err
	}
	if err := h.takePlace(ctx, ln); err != nil {
		ln.Close()
		os.Remove(ln.Addr().String())
		return err
	}
	h.dropInheritance()
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		ln.Close()
		return net.ErrClosed
	}
	h.ln = ln
	h.serving.Add(1)
	go h.serve(ln)
	return nil
}

// takePlace makes this process the one that reads, and that serves the path.
func (h *Handover) takePlace(ctx context.Context, ln *net.UnixListener) error {
	if c := h.to; c != nil {
		h.to = nil
		defer c.Close() // after that the predecessor no longer serves the path
		defer c.closeFiles()
		stop := context.AfterFunc(ctx, func() { c.Close() })
		err := h.takeOver(c)
		if stop(); err != nil {
			return errors.Join(err, ctx.Err())
		}
	}
	err := h.setReading(true)
	if err == nil {
		err = publish(ln, h.path)
	}
	if err != nil {
		h.setReading(false)
		h.relatives.close() // the predecessor reads again
	}
	return err
}

// takeOver makes the predecessor stop reading, and gets the connection IDs of its handshakes.
func (h *Handover) takeOver(c *control) error {
	c.within(patience)
	if err := c.send(msgReady, nil); err != nil {
		return err
	}
	body, err := c.expect(msgYours)
	if err != nil {
		return err
	}
	if len(body) != 0 || len(c.files) != 1 {
		return errRecord
	}
	way, err := unixConn(c.takeFiles(1)[0])
	if err != nil {
		return err
	}
	if err := h.relatives.add(h.inherited.offer.Predecessor, way); err != nil {
		way.Close()
		return err
	}
	ids, err := c.receiveIDs()
	if err != nil {
		return err
	}
	h.relatives.watch(ids)
	if err := c.send(msgServing, nil); err != nil {
		return err
	}
	_, err = c.expect(msgDone)
	return err
}

// dropInheritance closes what this process did not take.
func (h *Handover) dropInheritance() {
	if h.inherited == nil {
		return
	}
	closeFiles(h.inherited.sockets)
	for _, f := range h.inherited.listeners {
		f.Close()
	}
	h.inherited.sockets, h.inherited.listeners = nil, nil
}

// serve passes on to successors until h is closed. A successor that ends gives its place back.
func (h *Handover) serve(ln *net.UnixListener) {
	defer h.serving.Done()
	for ln != nil {
		back := h.passOn(ln)
		if back == nil {
			return // closed
		}
		ln = h.live(back)
	}
}

// passOn serves ln until a successor has taken over. It returns the connection that brings
// datagrams back, or nil if h was closed.
func (h *Handover) passOn(ln *net.UnixListener) *net.UnixConn {
	defer ln.Close()
	for {
		u, err := ln.AcceptUnix()
		if err != nil {
			return nil
		}
		c := &control{UnixConn: u}
		if !h.setPeer(c) {
			c.Close()
			return nil
		}
		back, err := h.offerTo(c)
		h.setPeer(nil)
		c.closeFiles()
		c.Close()
		if err == nil {
			return back
		}
		h.log.Error("handover: the successor has not taken over", "error", err)
	}
}

// setPeer notes what Close has to close. It reports false if h was closed.
func (h *Handover) setPeer(c *control) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.peer = c
	return !h.closed
}

// offerTo runs the old process's side of a handover. If it fails, this process reads.
func (h *Handover) offerTo(c *control) (back *net.UnixConn, err error) {
	c.within(patience)
	err = checkPeer(c.UnixConn)
	if err == nil {
		err = h.sendOffer(c)
	}
	if err != nil {
		c.send(msgRefusal, []byte(err.Error()))
		return nil, err
	}
	c.within(readyWait)
	if _, err := c.expect(msgReady); err != nil {
		return nil, err
	}
	back, theirs, err := pair()
	if err != nil {
		return nil, err
	}
	c.within(patience)
	if err = h.setReading(false); err == nil {
		err = h.handReading(c, theirs)
	}
	theirs.Close()
	if err != nil {
		back.Close()
		return nil, errors.Join(err, h.setReading(true))
	}
	return back, nil
}

// sendOffer sends copies of all descriptors.
func (h *Handover) sendOffer(c *control) error {
	o := &offer{
		Version: protocolVersion, Predecessor: h.own, Steer: h.steer, ConnIDLen: h.group.ConnIDLen(),
		ResetKey: h.resetKey[:], Network: h.network, Address: h.address, Sockets: len(h.sockets),
	}
	for _, k := range h.tokenKeys {
		o.TokenKeys = append(o.TokenKeys, k[:])
	}
	files := slices.Clone(h.copies)
	for key, f := range h.listeners {
		o.Listeners = append(o.Listeners, key)
		files = append(files, f)
	}
	gens, ways, err := h.relatives.living()
	if err != nil {
		return err
	}
	defer closeFiles(ways)
	o.Living = gens
	if o.Generation, err = successorOf(h.own, gens); err != nil {
		return err
	}
	return c.sendOffer(o, append(files, ways...))
}

// handReading tells the successor which handshakes are in progress, and lets it read.
func (h *Handover) handReading(c *control, theirs *net.UnixConn) error {
	// The Loops have read all that they will read. What they have handed over to each other is
	// with its Endpoint when HandshakeIDs asks.
	own := h.group.HandshakeIDs()
	f, err := theirs.File()
	if err != nil {
		return err
	}
	defer f.Close()
	if err := c.send(msgYours, nil, f); err != nil {
		return err
	}
	if err := c.sendIDs(h.own, own); err != nil {
		return err
	}
	for gen := range h.relatives.ways {
		if err := c.sendIDs(gen, h.relatives.idsOf(gen)); err != nil {
			return err
		}
	}
	if err := c.send(msgAll, nil); err != nil {
		return err
	}
	if _, err := c.expect(msgServing); err != nil {
		return err
	}
	// If the successor does not get this, it gives up, and closes the connection that it forwards
	// by.
	if err := c.send(msgDone, nil); err != nil {
		return err
	}
	// The successor closes the connection when it serves the path. Until then this process serves
	// it.
	c.expect(msgDone)
	return nil
}

// live takes datagrams back while successors live. If all of them end before h is closed, this
// process reads again, and live returns the listener of the path.
func (h *Handover) live(back *net.UnixConn) *net.UnixListener {
	h.mu.Lock()
	if h.closed {
		h.mu.Unlock()
		back.Close()
		return nil
	}
	h.back, h.ln = back, nil
	h.mu.Unlock()
	ended := make(chan struct{})
	h.serving.Add(1)
	go func() {
		defer h.serving.Done()
		h.settle(ended)
	}()
	err := h.relatives.takeBack(back)
	close(ended)
	back.Close()
	ln, err := h.resume(err)
	if err != nil && !errors.Is(err, net.ErrClosed) {
		h.log.Error("handover: all successors have ended, and this process cannot go on", "error", err)
	}
	return ln
}

// resume makes this process the one that reads, and serves the path, unless h was closed.
func (h *Handover) resume(cause error) (*net.UnixListener, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.back = nil
	if h.closed {
		return nil, net.ErrClosed
	}
	h.log.Warn("handover: all successors have ended: this process reads again", "cause", fmt.Sprint(cause))
	if err := h.setReading(true); err != nil {
		return nil, err
	}
	ln, err := listen(h.path)
	if err != nil {
		return nil, err
	}
	if err := publish(ln, h.path); err != nil {
		ln.Close()
		return nil, err
	}
	h.ln = ln
	return ln, nil
}

// unsettled reports whether handshakes are in progress, or connections wait for Accept.
func (h *Handover) unsettled() bool { return h.group.Stats().Handshakes > 0 || h.group.Waiting() > 0 }

// settle waits for the end of handshakes that were in progress, and then says that this process is
// superseded. It does not if all successors end before that.
func (h *Handover) settle(ended <-chan struct{}) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for limit := time.Now().Add(handshakeWait); h.unsettled() && time.Now().Before(limit); {
		select {
		case <-tick.C:
		case <-ended:
			return
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	select {
	case <-ended:
	case <-h.superseded:
	default:
		close(h.superseded)
	}
}

// successorOf returns the next generation that nobody has.
func successorOf(own int, living []int) (int, error) {
	var taken [loop.MaxGenerations]bool
	taken[own] = true
	for _, gen := range living {
		taken[gen] = true
	}
	for i := 1; i < loop.MaxGenerations; i++ {
		if gen := (own + i) % loop.MaxGenerations; !taken[gen] {
			return gen, nil
		}
	}
	return 0, fmt.Errorf("%d processes live already", loop.MaxGenerations)
}

// Close ends h, and not the Group. Call it when the Group has ended: after Close no datagrams of
// its connections come from a successor. If there is no successor, nobody serves the path any more.
func (h *Handover) Close() error {
	h.mu.Lock()
	if h.closed {
		h.mu.Unlock()
		return net.ErrClosed
	}
	h.closed = true
	if h.ln != nil {
		os.Remove(h.path)
		h.ln.Close()
	}
	if h.back != nil {
		h.back.Close()
	}
	if h.peer != nil {
		h.peer.Close()
	}
	h.mu.Unlock()
	h.serving.Wait()
	if h.to != nil {
		h.to.closeFiles()
		h.to.Close()
	}
	h.relatives.close()
	h.dropInheritance()
	closeFiles(h.copies)
	for _, f := range h.listeners {
		f.Close()
	}
	return nil
}
