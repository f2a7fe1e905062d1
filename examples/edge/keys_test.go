package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/h3/h3http"
	"github.com/lazoquic/lazo/internal/require"
)

// newECHFile writes a file by the flag -new-ech, and returns its ECHConfigList.
func newECHFile(t *testing.T, name string) (list []byte) {
	t.Helper()
	var text bytes.Buffer
	require.NoError(t, run(t.Context(), []string{"-new-ech", "public.example"}, &text, io.Discard))
	require.NoError(t, os.WriteFile(name, text.Bytes(), 0o600))
	for block, rest := pem.Decode(text.Bytes()); block != nil; block, rest = pem.Decode(rest) {
		if block.Type == pemECHConfig {
			return block.Bytes
		}
	}
	t.Fatal("no list in ", text.String())
	return nil
}

// TestLongName checks that -new-ech takes no name that is too long for an ECHConfig.
func TestLongName(t *testing.T) {
	name := strings.Repeat(strings.Repeat("a", 62)+".", 4)
	require.NoError(t, run(t.Context(), []string{"-new-ech", name + "a"}, io.Discard, io.Discard))
	require.Error(t, run(t.Context(), []string{"-new-ech", name + "ab"}, io.Discard, io.Discard))
}

// A signalingCache tells when a session has come.
type signalingCache struct {
	tls.ClientSessionCache
	put chan struct{}
}

func newCache() *signalingCache {
	return &signalingCache{tls.NewLRUClientSessionCache(10), make(chan struct{}, 100)}
}

func (c *signalingCache) Put(key string, s *tls.ClientSessionState) {
	c.ClientSessionCache.Put(key, s)
	if s != nil {
		c.put <- struct{}{}
	}
}

// askTLS makes one request of a version of HTTP with a configuration of TLS, and returns what the
// handshake has come to.
func (e *running) askTLS(proto string, tc *tls.Config) (*tls.ConnectionState, error) {
	before := e.trust
	e.trust = tc
	c := e.client(proto)
	e.trust = before
	resp, err := c.Get(e.url("/"))
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	if cache, ok := tc.ClientSessionCache.(*signalingCache); ok {
		select {
		case <-cache.put:
		case <-time.After(time.Minute):
			e.t.Error("no session comes")
		}
	}
	if tr, ok := c.Transport.(*h3http.Transport); ok {
		tr.Close()
	} else {
		c.Transport.(*http.Transport).CloseIdleConnections()
	}
	return resp.TLS, err
}

// TestECH offers a key, then another one with which the first still opens, and then only that one.
// Clients with an old config are told the new one.
func TestECH(t *testing.T) {
	dir := t.TempDir()
	first, second := filepath.Join(dir, "1.pem"), filepath.Join(dir, "2.pem")
	old, next := newECHFile(t, first), newECHFile(t, second)
	routes := onePool(serveTest(t, saying("hello")))
	var log logBuffer
	e := startLogging(t, "ech: "+list(first)+"\n"+routes, &log)
	ask := func(proto string, configs []byte) (accepted bool, retry []byte) {
		t.Helper()
		tc := e.trust.Clone()
		tc.EncryptedClientHelloConfigList = configs
		st, err := e.askTLS(proto, tc)
		var rejected *tls.ECHRejectionError
		if errors.As(err, &rejected) {
			return false, rejected.RetryConfigList
		}
		require.NoError(t, err)
		return st.ECHAccepted, nil
	}
	for _, proto := range protocols {
		ok, _ := ask(proto, old)
		require.True(t, ok, proto)
		ok, retry := ask(proto, next)
		require.True(t, !ok)
		require.Equal(t, old, retry, proto)
	}
	require.Eventually(t, func() bool { return len(log.requests(t)) == len(protocols) }, time.Minute, time.Millisecond)
	require.Equal(t, true, log.requests(t)[0]["ech"])

	e.configure("ech: " + list(second, first) + "\n" + routes)
	require.NoError(t, e.reload())
	for _, proto := range protocols {
		for _, configs := range [][]byte{old, next} {
			ok, _ := ask(proto, configs)
			require.True(t, ok, proto)
		}
	}

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go e.keepCurrent(ctx, nil, time.Millisecond)
	text, err := os.ReadFile(second)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(first, append(text, '\n'), 0o600)) // nothing opens old now
	gone := func() bool {
		ok, retry := ask("HTTP/3.0", old)
		return !ok && bytes.Equal(retry, next)
	}
	require.Eventually(t, gone, time.Minute, time.Millisecond)
	ok, retry := ask("HTTP/2.0", old)
	require.True(t, !ok)
	require.Equal(t, next, retry)
}

// TestSecrets resumes sessions at another replica, with all versions of HTTP, as long as it has the
// secret, and not otherwise.
func TestSecrets(t *testing.T) {
	dir := t.TempDir()
	secret := func(name, text string) string {
		name = filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(name, []byte(strings.Repeat(text, 16)), 0o600))
		return name
	}
	first, second := secret("1", "one "), secret("2", "two ")
	routes := onePool(serveTest(t, saying("hello")))
	replica := func(files ...string) *running {
		return start(t, "secrets: "+list(files...)+"\n"+routes)
	}
	one, same, rotated, other := replica(first), replica(first), replica(second, first), replica(second)
	for _, proto := range protocols {
		for _, c := range []struct {
			to      *running
			resumes bool
		}{{same, true}, {rotated, true}, {other, false}} {
			cache := newCache()
			resumed := func(e *running) bool {
				t.Helper()
				// Each edge has a certificate of its own, which a resumed session does not show.
				st, err := e.askTLS(proto, &tls.Config{InsecureSkipVerify: true, ServerName: "localhost", ClientSessionCache: cache})
				require.NoError(t, err)
				return st.DidResume
			}
			require.True(t, !resumed(one))
			require.Equal(t, c.resumes, resumed(c.to), proto)
		}
	}

	// The secret of the last one changes, and its new sessions are those of the first.
	other.configure("secrets: " + list(first) + "\n" + routes)
	require.NoError(t, other.reload())
	for _, proto := range protocols {
		cache := newCache()
		tc := &tls.Config{InsecureSkipVerify: true, ServerName: "localhost", ClientSessionCache: cache}
		_, err := other.askTLS(proto, tc)
		require.NoError(t, err)
		st, err := same.askTLS(proto, tc)
		require.NoError(t, err)
		require.True(t, st.DidResume, proto)
	}
}

// A oneToken keeps the first token that comes.
type oneToken chan []byte

func (c oneToken) TakeToken(string) []byte {
	select {
	case token := <-c:
		return token
	default:
		return nil
	}
}

func (c oneToken) PutToken(_ string, token []byte) {
	select {
	case c <- token:
	default:
	}
}

// TestReplicas has a client begin at an edge in another process. At one here that has the same
// secret it resumes its session, and its token spares it the Retry that all others get.
func TestReplicas(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "secret")
	require.NoError(t, os.WriteFile(secret, []byte(strings.Repeat("secret ", 5)), 0o600))
	routes := onePool(serveTest(t, saying("hello")))
	first := &running{t: t, file: filepath.Join(t.TempDir(), "edge.yaml")}
	require.NoError(t, (&demo{dir: filepath.Dir(first.file)}).writeCertificate())
	first.configure("secrets: " + list(secret) + "\n" + routes)
	first.at = startChild(t, "-config", first.file).at
	const strict = "retry_above: 0\n"
	var log logBuffer
	same, other := startLogging(t, strict+"secrets: "+list(secret)+"\n"+routes, &log), start(t, strict+routes)

	for _, c := range []struct {
		to    *running
		knows bool
	}{{same, true}, {other, false}} {
		sessions, token := newCache(), make(oneToken, 1)
		visit := func(e *running) *tls.ConnectionState {
			t.Helper()
			tr := &h3http.Transport{
				TLSClientConfig: &tls.Config{InsecureSkipVerify: true, ServerName: "localhost", ClientSessionCache: sessions},
				QUICConfig:      &conn.Config{Tokens: token},
			}
			defer tr.Close()
			resp, body := e.get(&http.Client{Transport: tr, Timeout: time.Minute}, "/")
			require.Equal(t, "hello", body)
			<-sessions.put
			require.Eventually(t, func() bool { return len(token) == 1 }, time.Minute, time.Millisecond)
			return resp.TLS
		}
		require.False(t, visit(first).DidResume)
		require.Equal(t, c.knows, visit(c.to).DidResume)
		st := c.to.udp.Stats()
		require.Equal(t, c.knows, st.AcceptedNewToken == 1, st.AcceptedNewToken)
		require.Equal(t, c.knows, st.Retries == 0, st.Retries)
	}
	require.Eventually(t, func() bool { return len(log.requests(t)) == 1 }, time.Minute, time.Millisecond)
	require.Equal(t, true, log.requests(t)[0]["resumed"])
}
