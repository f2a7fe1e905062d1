package udpio

import (
	"errors"
	"sync"
	"syscall"
	"testing"

	"github.com/lazoquic/lazo/internal/require"
)

// mustListenGroup returns n sockets that are closed when the test ends.
func mustListenGroup(t *testing.T, network, address string, n int, cfg *Config) []*Socket {
	t.Helper()
	group, err := ListenGroup(network, address, n, cfg)
	if errors.Is(err, errors.ErrUnsupported) {
		t.Skip("no SO_REUSEPORT here")
	}
	require.NoError(t, err)
	require.Len(t, group, n)
	for _, s := range group {
		t.Cleanup(func() { s.Close() })
		require.Equal(t, group[0].LocalAddr(), s.LocalAddr())
	}
	return group
}

// An address in use is refused to a group of any size, whoever has it and how. Who asks
// for it shares.
func TestGroupAddressInUse(t *testing.T) {
	for _, listen := range []struct{ network, address string }{
		{"udp4", "127.0.0.1:0"}, {"udp", "[::1]:0"}, {"udp", ":0"},
	} {
		for _, first := range []int{1, 3} {
			address := mustListenGroup(t, listen.network, listen.address, first, nil)[0].LocalAddr().String()
			for _, second := range []int{1, 3} {
				group, err := ListenGroup(listen.network, address, second, nil)
				require.ErrorIs(t, err, syscall.EADDRINUSE, "%s: %d sockets after %d", address, second, first)
				require.Nil(t, group)
			}
		}
		shared := mustListenGroup(t, listen.network, listen.address, 2, &Config{ReusePort: true})
		address := shared[0].LocalAddr().String()
		mustListenGroup(t, listen.network, address, 2, &Config{ReusePort: true})
		for _, n := range []int{1, 2} {
			_, err := ListenGroup(listen.network, address, n, nil)
			require.ErrorIs(t, err, syscall.EADDRINUSE)
		}
	}
}

// A refused group leaves nothing: the address is free once its owner has gone.
func TestGroupLeavesNothing(t *testing.T) {
	owner := mustListenGroup(t, "udp4", "127.0.0.1:0", 2, nil)
	address := owner[0].LocalAddr().String()
	_, err := ListenGroup("udp4", address, 4, nil)
	require.ErrorIs(t, err, syscall.EADDRINUSE)
	for _, s := range owner {
		require.NoError(t, s.Close())
	}
	mustListenGroup(t, "udp4", address, 4, nil)
}

// Of many that want one address at the same time, one gets it.
func TestGroupRace(t *testing.T) {
	probe := mustListenGroup(t, "udp4", "127.0.0.1:0", 2, nil)
	address := probe[0].LocalAddr().String()
	for range 50 {
		for _, s := range probe {
			s.Close()
		}
		probe = nil
		var mu sync.Mutex
		var wg sync.WaitGroup
		winners := 0
		for range 8 {
			wg.Go(func() {
				group, err := ListenGroup("udp4", address, 3, &Config{ReadBuffer: -1, WriteBuffer: -1})
				mu.Lock()
				defer mu.Unlock()
				if err == nil {
					winners++
					probe = append(probe, group...)
				} else if !errors.Is(err, syscall.EADDRINUSE) {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		require.Equal(t, 1, winners)
	}
	for _, s := range probe {
		s.Close()
	}
}
