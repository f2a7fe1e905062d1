package udpio

import (
	"testing"
	"time"
)

// benchmarkTransfer sends messages of segments datagrams and reads them, all on this goroutine. It
// reports the time for each datagram.
func benchmarkTransfer(b *testing.B, cfg *Config, segments, batch int) {
	const size = 1452
	from, err := Listen("udp4", "127.0.0.1:0", cfg)
	if err != nil {
		b.Fatal(err)
	}
	defer from.Close()
	to, err := Listen("udp4", "127.0.0.1:0", cfg)
	if err != nil {
		b.Fatal(err)
	}
	defer to.Close()
	out, in := make([]Message, batch), make([]Message, 32)
	for i := range out {
		out[i] = Message{Buf: make([]byte, segments*size), SegmentSize: size, Remote: to.LocalAddr(), ECN: 2}
	}
	for i := range in {
		in[i].Buf = make([]byte, 1<<16)
	}
	past := time.Unix(1, 0)
	b.SetBytes(int64(size))
	b.ReportAllocs()
	b.ResetTimer()
	got, sent := 0, 0
	for got < b.N {
		n, err := from.WriteBatch(out)
		if n < len(out) || err != nil {
			b.Fatal(n, err)
		}
		sent += n * segments
		for {
			n, err := to.ReadBatch(in, past)
			if err != nil {
				b.Fatal(err)
			}
			if n == 0 {
				break
			}
			for _, m := range in[:n] {
				got += (len(m.Buf) + size - 1) / size
			}
		}
	}
	if got < sent {
		b.Fatalf("%d of %d datagrams were lost", sent-got, sent)
	}
}

func BenchmarkGSOToGRO(b *testing.B)  { benchmarkTransfer(b, nil, 45, 1) }
func BenchmarkGSOToGRO2(b *testing.B) { benchmarkTransfer(b, nil, 45, 2) }

// Without GSO and GRO, 32 datagrams a call and one.

func BenchmarkBatch(b *testing.B) {
	benchmarkTransfer(b, &Config{DisableGSO: true, DisableGRO: true}, 1, 32)
}
func BenchmarkSingle(b *testing.B) {
	benchmarkTransfer(b, &Config{DisableGSO: true, DisableGRO: true}, 1, 1)
}

// BenchmarkPingPong measures the wake-up by a datagram. Two goroutines wait for each other.
func BenchmarkPingPong(b *testing.B) {
	a, err := Listen("udp4", "127.0.0.1:0", nil)
	if err != nil {
		b.Fatal(err)
	}
	defer a.Close()
	c, err := Listen("udp4", "127.0.0.1:0", nil)
	if err != nil {
		b.Fatal(err)
	}
	go func() {
		ms := []Message{{Buf: make([]byte, 1<<16)}}
		for {
			n, err := c.ReadBatch(ms, time.Now().Add(time.Second))
			if err != nil {
				return
			}
			if n > 0 {
				c.WriteBatch(ms)
			}
		}
	}()
	defer c.Close()
	ms := []Message{{Buf: make([]byte, 1<<16)}}
	out := []Message{{Buf: make([]byte, 64), Remote: c.LocalAddr()}}
	b.ReportAllocs()
	for b.Loop() {
		a.WriteBatch(out)
		if n, err := a.ReadBatch(ms, time.Now().Add(time.Second)); n != 1 {
			b.Fatal(n, err)
		}
	}
}

// BenchmarkWake measures a wake-up from another goroutine and back.
func BenchmarkWake(b *testing.B) {
	a, err := Listen("udp4", "127.0.0.1:0", nil)
	if err != nil {
		b.Fatal(err)
	}
	back := make(chan struct{})
	go func() {
		ms := []Message{{Buf: make([]byte, 1<<16)}}
		for {
			if _, err := a.ReadBatch(ms, time.Time{}); err != nil {
				return
			}
			back <- struct{}{}
		}
	}()
	defer a.Close()
	for b.Loop() {
		a.Wake()
		<-back
	}
}

// BenchmarkShortWait measures how late a deadline of 50 us is met.
func BenchmarkShortWait(b *testing.B) {
	a, err := Listen("udp4", "127.0.0.1:0", nil)
	if err != nil {
		b.Fatal(err)
	}
	defer a.Close()
	ms := []Message{{Buf: make([]byte, 1<<16)}}
	for b.Loop() {
		a.ReadBatch(ms, time.Now().Add(50*time.Microsecond))
	}
}
