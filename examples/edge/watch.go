package main

import "github.com/lazoquic/lazo/examples/internal/filestamp"

// A watch is files that the configuration names, which are read again when they have changed.
type watch struct {
	what string // for the log
	read func() error

	files []string
	seen  string // stamp of the files when they were read
}

// newWatch reads the files.
func newWatch(what string, read func() error, files ...string) (*watch, error) {
	w := &watch{what: what, read: read, files: files, seen: filestamp.Of(files)}
	return w, w.read()
}

// refresh reads the files again if any has changed. If read returns an error, such as that of a
// certificate whose key is still to come, all is as before. The next change of a file is another
// try.
func (w *watch) refresh() (changed bool, err error) {
	now := filestamp.Of(w.files)
	if now == w.seen {
		return false, nil
	}
	w.seen = now
	err = w.read()
	return err == nil, err
}

// watches returns those of all files but the configuration itself.
func (s *site) watches() []*watch {
	all := []*watch{s.certs.watch, s.keys.watch}
	for _, p := range s.pools {
		all = append(all, p.authorities)
	}
	return all
}

// refresh reads all files again that have changed.
func (e *edge) refresh() {
	e.changing.Lock()
	defer e.changing.Unlock()
	s := e.site.Load()
	for _, w := range append(s.watches(), e.resets.watch) {
		changed, err := w.refresh()
		switch {
		case err != nil:
			e.log.Error(w.what+" are as before", "error", err)
		case changed:
			e.log.Info(w.what + " were read again")
		}
		if changed && w == s.keys.watch {
			e.useKeys()
		}
	}
}
