package h3http

import "github.com/lazoquic/lazo/h3"

// Aborts say what this side abandons of a stream: receiving, sending, or both. The application asks
// for aborts. The loop owns the stream, and carries out each abort once.
type aborts struct {
	receiving, sending, both abort

	behind bool // the reset of sending comes behind what was written
}

// An abort says whether the application has asked for it, and whether the loop has carried it out.
type abort struct {
	asked, carriedOut bool
	code              h3.ErrorCode
}

func (a *abort) ask(code h3.ErrorCode) {
	if !a.asked {
		a.asked, a.code = true, code
	}
}

// take reports whether the abort is to be carried out. After that it counts as carried out.
func (a *abort) take() bool {
	due := a.asked && !a.carriedOut
	a.carriedOut = a.asked
	return due
}

// stopReceiving asks for STOP_SENDING.
func (a *aborts) stopReceiving(code h3.ErrorCode) { a.receiving.ask(code) }

// resetSending asks for a reset.
func (a *aborts) resetSending(code h3.ErrorCode) { a.sending.ask(code) }

// resetBehind says that a reset takes the place of the end. The reset comes behind what was
// written: see endsBehind.
func (a *aborts) resetBehind(code h3.ErrorCode) { a.behind, a.sending.code = true, code }

// endsBehind reports whether resetBehind was called, and returns its code.
func (a *aborts) endsBehind() (code h3.ErrorCode, yes bool) { return a.sending.code, a.behind }

// cancel asks for the end of both directions. Nothing else is carried out any more.
func (a *aborts) cancel(code h3.ErrorCode) { a.both.ask(code) }

// canceled reports whether cancel or abandon was called.
func (a *aborts) canceled() bool { return a.both.asked }

// carryOut does to s what was asked for. It runs on the loop's goroutine.
func (a *aborts) carryOut(s *h3.Stream) {
	if a.canceled() {
		if a.both.take() {
			s.Cancel(a.both.code)
		}
		return
	}
	if a.receiving.take() {
		s.StopSending(a.receiving.code)
	}
	if a.sending.take() {
		s.Reset(a.sending.code)
	}
}

// abandon does what cancel asks for, at once. It also gives up what was handed to s, even if the
// end was handed over too. It runs on the loop's goroutine.
func (a *aborts) abandon(s *h3.Stream, code h3.ErrorCode) {
	s.Abandon(code)
	a.cancel(code)
	a.both.take()
}
