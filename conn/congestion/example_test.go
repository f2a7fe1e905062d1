package congestion_test

import (
	"crypto/rand"
	"fmt"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/congestion"
	"github.com/lazoquic/lazo/conn/conntest"
)

// A controller of one's own wraps a built-in one, or takes its place.
func ExampleController() {
	cfg := conntest.ClientConfig()
	cfg.Congestion = func(p congestion.Params) congestion.Controller {
		return limited{Controller: congestion.NewCubic(p), most: 100_000}
	}
	c := cfg.Congestion(congestion.Params{MTU: 1200})
	fmt.Println(c.Window())
	// Output: 12000
}

// limited keeps the congestion window below a bound, in bytes.
type limited struct {
	congestion.Controller
	most uint64
}

// Window returns the window of the controller below, within the bound.
func (l limited) Window() uint64 { return min(l.Controller.Window(), l.most) }

// A leasedLine is the congestion controller of a path whose rate is known, and which
// nobody shares: it paces at that rate whatever is lost, and keeps at most two round
// trips' worth in flight.
type leasedLine struct {
	rate   uint64 // bytes per second
	window uint64
}

func (l *leasedLine) Window() uint64     { return l.window }
func (l *leasedLine) PacingRate() uint64 { return l.rate }

func (l *leasedLine) OnAck(a *congestion.Ack) {
	l.window = max(l.window, l.rate*uint64(2*a.SmoothedRTT)/uint64(time.Second))
}

func (l *leasedLine) OnSent(*congestion.Sent)     {}
func (l *leasedLine) OnLoss(*congestion.Loss)     {}
func (l *leasedLine) OnSpurious(*congestion.Loss) {}
func (l *leasedLine) OnMTU(int)                   {}

// A congestion controller of your own. It keeps its rate where one packet of fifty is
// lost by chance.
func ExampleController_own() {
	cfg := conntest.ClientConfig()
	cfg.Congestion = func(p congestion.Params) congestion.Controller {
		return &leasedLine{rate: 10e6 / 8, window: uint64(10 * p.MTU)}
	}

	t := new(exampleT)
	defer t.done()
	n := conntest.New(t, 1)
	n.Default = conntest.Link{Delay: 20 * time.Millisecond, Loss: 0.02}
	server := n.Add("10.0.0.1:443", &conn.EndpointConfig{Server: conntest.ServerConfig(), Rand: rand.Reader})
	client := n.Add("10.0.0.2:5000", &conn.EndpointConfig{Rand: rand.Reader})
	c, err := client.Dial(n.Now(), conn.Target{Remote: server.Addr}, cfg)
	if err != nil {
		panic(err)
	}
	client.OnEvent = produce
	server.OnEvent = discard
	n.RunFor(10 * time.Second)

	st := c.Stats()
	fmt.Println("sent at 9 Mbit/s or more:", st.BytesSent*8/10 >= 9e6)
	fmt.Println("lost some:", st.PacketsLost > 0)
	// Output:
	// sent at 9 Mbit/s or more: true
	// lost some: true
}

// produce writes what streams take, without end.
func produce(_ time.Time, ev conn.Event) {
	s := ev.Stream
	switch ev.Kind {
	case conn.EventConnected:
		s, _ = ev.Conn.OpenStream(conn.Uni)
	case conn.EventStreamWritable:
	default:
		return
	}
	for {
		if _, err := s.Write(make([]byte, 4096)); err != nil {
			return
		}
	}
}

// discard reads what comes.
func discard(_ time.Time, ev conn.Event) {
	if ev.Kind != conn.EventStreamReadable {
		return
	}
	for {
		b, err := ev.Stream.Peek(1)
		ev.Stream.Discard(len(b))
		if err != nil {
			return
		}
	}
}

// An exampleT stands for the *testing.T that an example does not have.
type exampleT struct {
	testing.TB
	cleanups []func()
}

func (t *exampleT) Helper()                   {}
func (t *exampleT) Name() string              { return "Example" }
func (t *exampleT) Failed() bool              { return false }
func (t *exampleT) Cleanup(f func())          { t.cleanups = append(t.cleanups, f) }
func (t *exampleT) Fatalf(f string, a ...any) { panic(fmt.Sprintf(f, a...)) }

func (t *exampleT) done() {
	for _, f := range t.cleanups {
		f()
	}
}
