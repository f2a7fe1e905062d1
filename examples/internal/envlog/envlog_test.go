package envlog

import (
	"bytes"
	"context"
	"crypto/tls"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lazoquic/lazo/conn"
	"github.com/lazoquic/lazo/conn/conntest"
	"github.com/lazoquic/lazo/loop"
)

// TestAttach checks that with the variables a connection leaves keys, a qlog and a warning. Without
// them it leaves nothing.
func TestAttach(t *testing.T) {
	for _, on := range []bool{true, false} {
		dir := t.TempDir()
		keys, logs := "", ""
		if on {
			keys, logs = filepath.Join(dir, "keys"), filepath.Join(dir, "logs")
		}
		t.Setenv("SSLKEYLOGFILE", keys)
		t.Setenv("QLOGDIR", logs)
		var warnings bytes.Buffer
		tc := conntest.ClientTLS()
		connect(t, tc, slog.New(slog.NewTextHandler(&warnings, nil)))
		if !on {
			if tc.KeyLogWriter != nil || warnings.Len() > 0 {
				t.Errorf("without variables there are keys, or a warning: %s", &warnings)
			}
			continue
		}
		if !strings.Contains(warnings.String(), "level=WARN") || !strings.Contains(warnings.String(), keys) {
			t.Errorf("the warning is %q", &warnings)
		}
		if b, err := os.ReadFile(keys); err != nil || !bytes.Contains(b, []byte("CLIENT_TRAFFIC_SECRET_0 ")) {
			t.Errorf("the keys are %q, %v", b, err)
		}
		var files []string
		for deadline := time.Now().Add(10 * time.Second); len(files) == 0 && time.Now().Before(deadline); {
			time.Sleep(time.Millisecond) // the qlog is written on a goroutine
			files, _ = filepath.Glob(filepath.Join(logs, "*_client.sqlog"))
		}
		if len(files) != 1 {
			t.Errorf("the qlogs are %q", files)
		}
	}
}

// connect makes a connection over loopback, with the logs of Attach on the client.
func connect(t *testing.T, tc *tls.Config, log *slog.Logger) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	server, err := loop.Listen("udp", "127.0.0.1:0", 1, &loop.Config{Endpoint: conn.EndpointConfig{Server: conntest.ServerConfig()}})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	cfg := &conn.Config{TLS: tc}
	done, err := Attach(tc, cfg, log)
	if err != nil {
		t.Fatal(err)
	}
	client, err := loop.Listen("udp", "127.0.0.1:0", 1, nil)
	if err != nil {
		t.Fatal(err)
	}
	c, err := client.Dial(ctx, server.LocalAddr().String(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	c.Close(0, "")
	client.Close()
	if err := done(); err != nil {
		t.Error(err)
	}
}
