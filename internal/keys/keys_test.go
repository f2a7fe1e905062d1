package keys

import (
	"bytes"
	"crypto/tls"
	"encoding/hex"
	"fmt"
	"testing"

	"github.com/lazoquic/lazo/internal/require"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	require.NoError(t, err)
	return b
}

// eachVector runs f for the examples of every version.
func eachVector(t *testing.T, f func(t *testing.T, v vector)) {
	for _, v := range []vector{vector1(), vector2()} {
		t.Run(fmt.Sprintf("%#x", v.version), func(t *testing.T) { f(t, v) })
	}
}

func checkSecrets(t *testing.T, v vector, k *Keys, want secrets) {
	t.Helper()
	require.Equal(t, want.secret, hex.EncodeToString(k.secret[:k.suite.hashLen()]))
	var e expander
	e.init(k.suite, k.secret[:k.suite.hashLen()])
	key, hp := e.label(prefix(v.version), "key", k.suite.keyLen()), e.label(prefix(v.version), "hp", k.suite.keyLen())
	require.Equal(t, want.key, hex.EncodeToString(key[:k.suite.keyLen()]))
	require.Equal(t, want.iv, hex.EncodeToString(k.iv[:]))
	require.Equal(t, want.hp, hex.EncodeToString(hp[:k.suite.keyLen()]))
}

// The odcid of all examples.
const odcid = "8394c8f03e515708"

// TestInitialSecrets: RFC 9001, Section 5.2 [2].
func TestInitialSecrets(t *testing.T) {
	eachVector(t, func(t *testing.T, v vector) {
		client, server := Initial(v.version, unhex(t, odcid))
		checkSecrets(t, v, client, v.client)
		checkSecrets(t, v, server, v.server)
	})
}

// checkPacket seals a header and payload to the packet want, and opens it again.
func checkPacket(t *testing.T, seal, open *Keys, header, payload, want []byte, pnLen int, pn uint64) {
	t.Helper()
	pnOff := len(header) - pnLen
	b := make([]byte, 0, 1500)
	b = append(append(b, header...), payload...)
	got := seal.Seal(b, pnOff, pnLen, pn)
	require.Equal(t, hex.EncodeToString(want), hex.EncodeToString(got))
	require.Same(t, &b[0], &got[0], "not in place")

	gotLen, truncated, ok := open.Unprotect(got, pnOff)
	require.True(t, ok)
	require.Equal(t, pnLen, gotLen)
	require.Equal(t, pn&(1<<(8*pnLen)-1), truncated)
	require.Equal(t, header, got[:len(header)])
	plain, ok := open.Open(got, pnOff+gotLen, pn)
	require.True(t, ok)
	require.Equal(t, payload, plain)
	require.Same(t, &got[len(header)], &plain[0], "not in place")
}

func TestInitialPackets(t *testing.T) {
	eachVector(t, func(t *testing.T, v vector) {
		client, server := Initial(v.version, unhex(t, odcid))
		client2, server2 := Initial(v.version, unhex(t, odcid))
		payload := make([]byte, 1162)
		copy(payload, unhex(t, clientPayload))
		checkPacket(t, client, client2, unhex(t, v.clientHeader), payload, unhex(t, v.clientPacket), 4, 2)
		checkPacket(t, server, server2, unhex(t, v.serverHeader), unhex(t, serverPayload), unhex(t, v.serverPacket), 2, 1)
	})
}

func TestRetryTag(t *testing.T) {
	eachVector(t, func(t *testing.T, v vector) {
		retry := unhex(t, v.retry)
		body, want := retry[:len(retry)-16], retry[len(retry)-16:]
		tag := RetryTag(v.version, unhex(t, odcid), body)
		require.Equal(t, want, tag[:])
		other := RetryTag(v.version, []byte("12345678"), body)
		require.NotEqual(t, want, other[:])
	})
}

func TestChaCha20(t *testing.T) {
	eachVector(t, func(t *testing.T, v vector) {
		secret := unhex(t, v.chachaSecret)
		k, err := New(v.version, tls.TLS_CHACHA20_POLY1305_SHA256, secret)
		require.NoError(t, err)
		clear(secret) // New has copied it
		checkSecrets(t, v, k, secrets{v.chachaSecret, v.chacha.key, v.chacha.iv, v.chacha.hp})
		next, err := k.Next()
		require.NoError(t, err)
		require.Equal(t, v.chacha.secret, hex.EncodeToString(next.secret[:next.suite.hashLen()]))
		checkPacket(t, k, k, unhex(t, "4200bff4"), []byte{1}, unhex(t, v.chachaPacket), 3, 654360564)
	})
}

// The nonce of draft-ietf-quic-multipath-21, Section 2.4.
func TestNonceOnPath(t *testing.T) {
	k := newKeys(t, 1, tls.TLS_AES_128_GCM_SHA256)
	k.iv = [ivLen]byte(unhex(t, "6b26114b9cba2b63a9e8dd4f"))
	p := k.OnPath(3)
	p.setNonce(54321)
	require.Equal(t, "6b2611489cba2b63a9e8097e", hex.EncodeToString(p.nonce[:]))
	k.setNonce(54321)
	require.Equal(t, "6b26114b9cba2b63a9e8097e", hex.EncodeToString(k.nonce[:]), "path 0")
}

// A packet opens with the keys of its path, and with no others. Header protection is the same on
// all paths.
func TestKeysOnPath(t *testing.T) {
	for id := range suites() {
		seal, open := newKeys(t, 1, id), newKeys(t, 1, id)
		b := make([]byte, 0, 100)
		pkt := seal.OnPath(7).Seal(append(b, "\x40\x05payload"...), 1, 1, 5)
		for _, path := range []uint32{0, 6, 7, 1<<32 - 1} {
			try := bytes.Clone(pkt)
			pnLen, pn, ok := open.OnPath(path).Unprotect(try, 1)
			require.True(t, ok)
			require.Equal(t, 1, pnLen)
			require.Equal(t, uint64(5), pn)
			payload, ok := open.OnPath(path).Open(try, 2, pn)
			require.Equal(t, path == 7, ok)
			if ok {
				require.Equal(t, "payload", string(payload))
			}
		}
	}
}

// Hostile samples reach the end of the block counter of ChaCha20.
func TestChaCha20CounterWraps(t *testing.T) {
	k := newKeys(t, 1, tls.TLS_CHACHA20_POLY1305_SHA256)
	b := bytes.Repeat([]byte{0xff}, 1+4+sampleLen)
	_, _, ok := k.Unprotect(b, 1)
	require.True(t, ok)
}

// suites are all that QUIC has.
func suites() map[uint16]int {
	return map[uint16]int{
		tls.TLS_AES_128_GCM_SHA256:       32,
		tls.TLS_AES_256_GCM_SHA384:       48,
		tls.TLS_CHACHA20_POLY1305_SHA256: 32,
	}
}

func newKeys(t testing.TB, version uint32, suite uint16) *Keys {
	t.Helper()
	k, err := New(version, suite, bytes.Repeat([]byte{7}, suites()[suite]))
	require.NoError(t, err)
	return k
}

// eachSuite runs f for every suite and version.
func eachSuite(t *testing.T, f func(t *testing.T, version uint32, suite uint16)) {
	for suite := range suites() {
		for _, version := range []uint32{1, version2} {
			t.Run(fmt.Sprintf("%s/%#x", tls.CipherSuiteName(suite), version), func(t *testing.T) { f(t, version, suite) })
		}
	}
}

// TestUnknownSuite: RFC 9001, Section 5.3 [1].
func TestUnknownSuite(t *testing.T) {
	for _, suite := range []uint16{0, tls.TLS_AES_128_GCM_SHA256 - 1, 0x1304, tls.TLS_RSA_WITH_AES_128_GCM_SHA256} {
		_, err := New(1, suite, make([]byte, 32))
		require.ErrorIs(t, err, ErrSuite)
	}
}

func TestRoundTrip(t *testing.T) {
	eachSuite(t, func(t *testing.T, version uint32, suite uint16) {
		seal, open := newKeys(t, version, suite), newKeys(t, version, suite)
		for pnLen := 1; pnLen <= 4; pnLen++ {
			for _, size := range []int{4 - pnLen, 4, 100, 1400} {
				for _, pn := range []uint64{0, 1, 255, 1<<32 + 5, 1<<62 - 1} {
					header := []byte{0x40 | byte(pnLen-1), 1, 2, 3, 4, 5, 6, 7, 8}
					for i := pnLen - 1; i >= 0; i-- {
						header = append(header, byte(pn>>(8*i)))
					}
					payload := bytes.Repeat([]byte{0xa5}, size)
					b := make([]byte, 0, 1500)
					b = append(append(b, header...), payload...)
					p := seal.Seal(b, 9, pnLen, pn)
					require.Len(t, p, len(header)+size+Overhead)
					gotLen, truncated, ok := open.Unprotect(p, 9)
					require.True(t, ok)
					require.Equal(t, pnLen, gotLen)
					require.Equal(t, pn&(1<<(8*pnLen)-1), truncated)
					plain, ok := open.Open(p, 9+gotLen, pn)
					require.True(t, ok)
					require.True(t, bytes.Equal(payload, plain))
				}
			}
		}
	})
}

// sealed returns a packet of 60 bytes with a packet number of two bytes at 9.
func sealed(k *Keys, pn uint64) []byte {
	b := make([]byte, 44, 60)
	b[0] = 0x41
	b[9], b[10] = byte(pn>>8), byte(pn)
	return k.Seal(b, 9, 2, pn)
}

// open removes both protections of what sealed made.
func open(k *Keys, b []byte) bool {
	pnLen, truncated, ok := k.Unprotect(b, 9)
	if !ok {
		return false
	}
	_, ok = k.Open(b, 9+pnLen, truncated)
	return ok
}

// Every single bit that an attacker flips makes the packet invalid.
// TestTamper: a packet of which a bit is another or the end is missing does not open (RFC 9001,
// Section 5.4.2 [1]).
func TestTamper(t *testing.T) {
	eachSuite(t, func(t *testing.T, version uint32, suite uint16) {
		k := newKeys(t, version, suite)
		packet := sealed(k, 0x1234)
		require.True(t, open(k, bytes.Clone(packet)))
		for i := range len(packet) * 8 {
			b := bytes.Clone(packet)
			b[i/8] ^= 1 << (i % 8)
			require.False(t, open(k, b), "bit %d", i)
		}
		for n := range len(packet) {
			require.False(t, open(k, bytes.Clone(packet[:n])), "%d bytes", n)
		}
		require.False(t, open(k, append(bytes.Clone(packet), 0)))

		b := bytes.Clone(packet)
		pnLen, pn, ok := k.Unprotect(b, 9)
		require.True(t, ok)
		_, ok = k.Open(b, 9+pnLen, pn+1<<16)
		require.False(t, ok, "other packet number")
	})
}

// Keys of another version, direction or suite open nothing.
func TestOtherKeys(t *testing.T) {
	client, server := Initial(1, unhex(t, odcid))
	client2, _ := Initial(version2, unhex(t, odcid))
	other, _ := Initial(1, unhex(t, "8394c8f03e515709"))
	require.True(t, open(client, sealed(client, 3)))
	for _, k := range []*Keys{server, client2, other} {
		require.False(t, open(k, sealed(client, 3)))
	}
}

// A packet of the next key phase has the same header protection, and needs the next keys.
func TestNext(t *testing.T) {
	eachSuite(t, func(t *testing.T, version uint32, suite uint16) {
		tx, rx := newKeys(t, version, suite), newKeys(t, version, suite)
		for phase := range 3 {
			tx2, err := tx.Next()
			require.NoError(t, err)
			rx2, err := rx.Next()
			require.NoError(t, err)

			b := sealed(tx2, 77)
			pnLen, pn, ok := rx.Unprotect(b, 9) // before the key phase is known
			require.True(t, ok)
			require.Equal(t, uint64(77), pn)
			_, ok = rx.Open(bytes.Clone(b), 9+pnLen, pn)
			require.False(t, ok, "phase %d", phase)
			_, ok = rx2.Open(b, 9+pnLen, pn)
			require.True(t, ok, "phase %d", phase)
			require.True(t, open(rx, sealed(tx, 78)), "the old keys stay usable")
			tx, rx = tx2, rx2
		}
	})
}

// Keys that rested seal and open the same packets, whatever wakes them, and so do the keys that are
// derived from them.
func TestRest(t *testing.T) {
	eachSuite(t, func(t *testing.T, version uint32, suite uint16) {
		fresh := func() *Keys {
			k := newKeys(t, version, suite)
			second, err := k.Next() // its header protection is that of the phase before
			require.NoError(t, err)
			return second
		}
		rested := func() *Keys {
			k := fresh()
			require.Equal(t, suite != tls.TLS_CHACHA20_POLY1305_SHA256, k.Awake())
			k.Rest()
			require.False(t, k.Awake())
			require.Equal(t, suite != tls.TLS_CHACHA20_POLY1305_SHA256, k.aead == nil && k.header.block == nil)
			return k
		}
		next := func(k *Keys) *Keys {
			k, err := k.Next()
			require.NoError(t, err)
			return k
		}
		packet := sealed(fresh(), 0x1234)
		require.Equal(t, packet, sealed(rested(), 0x1234))
		require.True(t, open(rested(), bytes.Clone(packet)))
		plain := bytes.Clone(packet)
		_, _, ok := fresh().Unprotect(plain, 9)
		require.True(t, ok)
		_, ok = rested().Open(plain, 11, 0x1234)
		require.True(t, ok, "without Unprotect")
		require.Equal(t, sealed(next(fresh()), 5), sealed(next(rested()), 5))
		require.Equal(t, sealed(fresh().OnPath(3), 5), sealed(rested().OnPath(3), 5))
		twice := rested()
		require.True(t, open(twice, bytes.Clone(packet)))
		twice.Rest()
		require.Equal(t, packet, sealed(twice, 0x1234))
	})
}

// Keys that rest hold none of the memory of their ciphers.
func TestRestAllocs(t *testing.T) {
	k := newKeys(t, 1, tls.TLS_AES_128_GCM_SHA256)
	pn, buf := uint64(0), make([]byte, 0, 60)
	allocs := func(rest bool) float64 {
		return testing.AllocsPerRun(100, func() {
			pn++
			if rest {
				k.Rest()
			}
			b := buf[:44]
			b[0] = 0x41
			k.Seal(b, 9, 2, pn)
		})
	}
	require.Zero(t, allocs(false))
	require.Positive(t, allocs(true))
}

func TestLimits(t *testing.T) {
	for suite, want := range map[uint16][2]uint64{
		tls.TLS_AES_128_GCM_SHA256:       {1 << 23, 1 << 52},
		tls.TLS_AES_256_GCM_SHA384:       {1 << 23, 1 << 52},
		tls.TLS_CHACHA20_POLY1305_SHA256: {1 << 62, 1 << 36},
	} {
		k := newKeys(t, 1, suite)
		require.Equal(t, want, [2]uint64{k.ConfidentialityLimit(), k.IntegrityLimit()})
	}
}

func TestNoAllocs(t *testing.T) {
	eachSuite(t, func(t *testing.T, version uint32, suite uint16) {
		k := newKeys(t, version, suite)
		buf := make([]byte, 0, 1500)
		pn := uint64(0)
		require.Zero(t, testing.AllocsPerRun(100, func() {
			pn++
			b := buf[:1200]
			b[0], b[9], b[10] = 0x41, byte(pn>>8), byte(pn)
			if !open(k, k.Seal(b, 9, 2, pn)) {
				t.Fatal("not opened")
			}
		}))
	})
}

func FuzzOpen(f *testing.F) {
	v := vector1()
	f.Add(unhex(f, v.clientPacket), 18)
	f.Add(unhex(f, v.serverPacket), 18)
	f.Add(unhex(f, v.chachaPacket), 1)
	f.Add([]byte{}, 0)
	_, server := Initial(1, unhex(f, odcid))
	chacha := newKeys(f, 1, tls.TLS_CHACHA20_POLY1305_SHA256)
	f.Fuzz(func(t *testing.T, b []byte, pnOff int) {
		if pnOff < 0 || pnOff > len(b) {
			return // no parser returns this
		}
		for _, k := range []*Keys{server, chacha} {
			b := bytes.Clone(b)
			if pnLen, pn, ok := k.Unprotect(b, pnOff); ok {
				k.Open(b, pnOff+pnLen, pn)
			}
		}
	})
}

func BenchmarkSeal(b *testing.B) { benchmark(b, false) }
func BenchmarkOpen(b *testing.B) { benchmark(b, true) }

func benchmark(b *testing.B, open bool) {
	for suite := range suites() {
		b.Run(tls.CipherSuiteName(suite), func(b *testing.B) {
			k := newKeys(b, 1, suite)
			packet := make([]byte, 1436, 1452)
			packet[0] = 0x41
			packet = k.Seal(packet, 9, 2, 0)
			buf := make([]byte, len(packet))
			b.SetBytes(int64(len(packet)))
			b.ReportAllocs()
			for b.Loop() {
				if !open {
					buf[0] = 0x41
					k.Seal(buf[:len(buf)-Overhead], 9, 2, 0)
					continue
				}
				copy(buf, packet)
				pnLen, pn, _ := k.Unprotect(buf, 9)
				if _, ok := k.Open(buf, 9+pnLen, pn); !ok {
					b.Fatal("not opened")
				}
			}
		})
	}
}

func BenchmarkNew(b *testing.B) {
	secret := make([]byte, 32)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := New(1, uint16(initialSuite), secret); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkRest(b *testing.B) {
	for suite := range suites() {
		b.Run(tls.CipherSuiteName(suite), func(b *testing.B) {
			k := newKeys(b, 1, suite)
			b.ReportAllocs()
			for b.Loop() {
				k.Rest()
				k.wake()
			}
		})
	}
}

func BenchmarkInitial(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		Initial(1, []byte(odcid))
	}
}
