package loop_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/loop"
)

// TestOpenInTurn: the last stream that the peer allows is for the call that was there first, even
// if that had to write a letter, and a later one can borrow the loop.
func TestOpenInTurn(t *testing.T) {
	one := serverConfig(func(c *conn.Config) { c.InitialMaxStreamsBidi = 1 })
	run(t, setup{link: near, server: one}, func(t *testing.T, w *world) {
		c, _ := w.dial(nil)
		first, second := make(chan error, 1), make(chan error, 1)
		try := func(err chan error) {
			s, e := c.TryOpenStream(conn.Bidi)
			if e == nil {
				defer s.Close()
			}
			err <- e
		}
		c.Do(w.ctx(), func(time.Time, *conn.Conn) {
			go try(first)
			time.Sleep(time.Second) // its letter is written
			loop.Lent(c.Loop(), func() {
				go try(second)
				time.Sleep(time.Second)
			})
		})
		synctest.Wait()
		if err := <-first; err != nil {
			t.Errorf("the first call: %v", err)
		}
		if err := <-second; !errors.Is(err, conn.ErrStreamLimit) {
			t.Errorf("the second call: %v", err)
		}
	})
}
