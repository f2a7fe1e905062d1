package main

import (
	"crypto/tls"
	"errors"
	"io/fs"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/loop"
)

// sessionWait is how long the program stays for a session.
const sessionWait = 3 * time.Second

// sessions are those of -session-file. A short answer may come before the server has sent a
// session. The program then waits, because the next run needs the session.
type sessions struct {
	loop.SessionCache
	came chan struct{} // has room for one
}

// openSessions loads the sessions, and puts them into the configuration; nil if there is no file.
func (o *quicOptions) openSessions(tc *tls.Config, cfg *conn.Config) (*sessions, error) {
	if o.sessionFile == "" {
		return nil, nil
	}
	s := &sessions{came: make(chan struct{}, 1)}
	if err := s.Load(o.sessionFile); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	tc.ClientSessionCache, cfg.Tokens = s, s
	return s, nil
}

// Put is part of [tls.ClientSessionCache].
func (s *sessions) Put(key string, cs *tls.ClientSessionState) {
	s.SessionCache.Put(key, cs)
	if cs == nil {
		return
	}
	select {
	case s.came <- struct{}{}:
	default:
	}
}

// wait waits for a session.
func (s *sessions) wait() {
	select {
	case <-s.came:
	case <-time.After(sessionWait):
	}
}
