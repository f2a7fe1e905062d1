package udpio

import (
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/lazoquic/lazo/internal/require"
)

func TestParseThreadStat(t *testing.T) {
	for _, tt := range []struct {
		text string
		want threadStat
		ok   bool
	}{
		{"1234 5678 9\n", threadStat{wait: 5678, runs: 9}, true},
		{"0 0 0\n", threadStat{}, true},
		{"1234 5678 9", threadStat{wait: 5678, runs: 9}, false}, // cut off
		{"1234 5678\n", threadStat{}, false},
		{"1 x 2\n", threadStat{}, false},
		{"", threadStat{}, false},
	} {
		got, ok := parseThreadStat([]byte(tt.text))
		require.Equal(t, tt.ok, ok, tt.text)
		if ok {
			require.Equal(t, tt.want, got, tt.text)
		}
	}
}

// TestThreadStat: the kernel's figures of this thread grow, and reading them allocates nothing.
func TestThreadStat(t *testing.T) {
	if _, err := os.Stat("/proc/thread-self/schedstat"); err != nil {
		_, ok := readThreadStat()
		require.False(t, ok)
		return
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	first, ok := readThreadStat()
	require.True(t, ok)
	require.NotZero(t, first.id)
	for deadline := time.Now().Add(time.Minute); ; {
		time.Sleep(time.Millisecond) // this thread sleeps, too
		next, ok := readThreadStat()
		require.True(t, ok)
		require.Equal(t, first.id, next.id)
		if next.runs > first.runs {
			break
		}
		require.True(t, time.Now().Before(deadline))
	}
	require.Zero(t, testing.AllocsPerRun(100, func() { readThreadStat() }))
}

// TestCrowding: a long wait makes the CPU count as crowded, and then many short ones in a row make
// it calm. What another thread has waited does not count.
func TestCrowding(t *testing.T) {
	var c crowding
	at := threadStat{id: 1, wait: time.Second, runs: 1000}
	after := func(wait time.Duration, runs int) bool {
		at.wait += wait * time.Duration(runs)
		at.runs += runs
		c.note(at)
		return c.crowded()
	}
	require.False(t, after(0, 0), "the first look")
	require.False(t, after(longWait, 30))
	require.True(t, after(longWait+1, 30))
	for range calmLooks - 1 {
		require.True(t, after(longWait, 30))
	}
	require.False(t, after(longWait, 30))

	at = threadStat{id: 2, wait: time.Hour, runs: 2000}
	require.False(t, after(0, 0), "another thread")
	require.False(t, after(time.Hour, 0), "it has not run since")
	require.True(t, after(time.Hour, 1))
}

// TestReadOnCrowdedCPU: datagrams arrive as always if the CPU is crowded.
func TestReadOnCrowdedCPU(t *testing.T) {
	listen := func() *Socket {
		s, err := Listen("udp4", "127.0.0.1:0", nil)
		require.NoError(t, err)
		t.Cleanup(func() { s.Close() })
		return s
	}
	a, b := listen(), listen()
	b.driver.(*sockets).poller.crowding = crowding{left: calmLooks, off: true}
	for i := range 3 * lookAfter {
		_, err := a.WriteBatch([]Message{{Buf: []byte{byte(i)}, Remote: b.LocalAddr()}})
		require.NoError(t, err)
		ms := []Message{{Buf: make([]byte, 100)}, {Buf: make([]byte, 100)}}
		n, err := b.ReadBatch(ms, time.Now().Add(time.Minute))
		require.NoError(t, err)
		require.Equal(t, 1, n)
		require.Equal(t, []byte{byte(i)}, ms[0].Buf)
		require.Equal(t, a.LocalAddr(), ms[0].Remote)
	}
}
