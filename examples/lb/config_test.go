package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lazoquic/lazo/internal/require"
)

const goodConfig = `listen: 127.0.0.1:0
ids:
  - {config: 0, server_id_bytes: 2, nonce_bytes: 6, key: "8f95f09245765f80256934e50c66207f"}
  - {config: 1, server_id_bytes: 1, nonce_bytes: 4}
backends:
  - address: 192.0.2.1:443
    server_ids: ["0a01", "01"]
  - address: 192.0.2.2:443
    server_ids: ["0a02"]
    state: drain
flows:
  idle: 1m
`

func writeConfig(t *testing.T, text string) string {
	name := filepath.Join(t.TempDir(), "lb.yaml")
	require.NoError(t, os.WriteFile(name, []byte(text), 0o600))
	return name
}

func TestConfig(t *testing.T) {
	c, err := readConfig(writeConfig(t, goodConfig))
	require.NoError(t, err)
	require.Equal(t, modeNAT, c.Mode)
	require.Equal(t, 4096, c.Flows.Max)
	require.Equal(t, [][]byte{{10, 1}, {1}}, c.ids[0])
	require.Equal(t, stateDrain, c.Backends[1].State)
}

// TestConfigErrors: each mistake is told with file, line and key.
func TestConfigErrors(t *testing.T) {
	for _, test := range []struct{ old, new, want string }{
		{"listen: 127.0.0.1:0", "listen: nonsense", `:1: listen: want HOST:PORT`},
		{"listen: 127.0.0.1:0", "listens: x", `:1: "listens": unknown field`},
		{"listen: 127.0.0.1:0", "mode: magic", `:1: mode: "magic" is neither nat nor ipip`},
		{"listen: 127.0.0.1:0", "route_by: luck", `:1: route_by: "luck"`},
		{"listen: 127.0.0.1:0", "loops: 1000", `:1: loops: 1000 is not 1 to 256`},
		{"listen: 127.0.0.1:0", "layout: mvfst", `:1: layout: "mvfst" is neither quic_lb nor katran`},
		{"listen: 127.0.0.1:0", "layout: katran", `:3: ids: layout: katran has no configurations`},
		{"config: 0", "config: 7", `:3: ids[0]: quiclb: configuration ID 7`},
		{"config: 1", "config: 0", `:4: ids[1]: quiclb: two configurations`},
		{"nonce_bytes: 4", "nonce_bytes: 3", `:4: ids[1]: quiclb: nonce of 3 bytes`},
		{"server_id_bytes: 2", "server_id_bytes: 200", `:3: ids[0].server_id_bytes: 200`},
		{"8f95", "8f", `:3: ids[0].key: want 16 bytes`},
		{`key: "8f`, `key_file: missing, key: "8f`, `:3: ids[0].key_file: give either key or key_file`},
		{`key: "8f95f09245765f80256934e50c66207f"`, `key_file: missing`, `:3: ids[0].key_file: open missing`},
		{`key: "8f95f09245765f80256934e50c66207f"`, `key_file: ` + os.Args[0], `:3: ids[0].key_file: want 16 bytes`},
		{"listen: 127.0.0.1:0", "listen: :0\nadmin: nonsense", `:2: admin: want HOST:PORT`},
		{"192.0.2.1:443", "example.org:443", `:6: backends[0].address: "example.org:443"`},
		{"192.0.2.2:443", "192.0.2.1:443", `:8: backends[1].address: 192.0.2.1:443 is there twice`},
		{`"0a02"`, `"0a01"`, `:9: backends[1].server_ids[0]: 0a01 is the ID of 192.0.2.1:443, too`},
		{`"0a02"`, `"0a0203"`, `:9: backends[1].server_ids[0]: "0a0203" is not`},
		{`["0a02"]`, `[]`, `:9: backends[1].server_ids: 192.0.2.2:443 needs`},
		{"state: drain", "state: sleepy", `:10: backends[1].state: "sleepy" is neither up nor drain`},
		{"idle: 1m", "idle: often", `:12: "often": want a time`},
		{"idle: 1m", "idle: 1ms", `:12: flows.idle: 1ms is less than 1s`},
		{"idle: 1m", "max: 1000000", `:12: flows.max: 1000000`},
		{"flows:\n  idle: 1m", "health: {silent: 5, dead: 2}", `:11: health.dead: 2 is not 5 to`},
	} {
		text := strings.Replace(goodConfig, test.old, test.new, 1)
		require.NotEqual(t, goodConfig, text)
		_, err := readConfig(writeConfig(t, text))
		require.ErrorContains(t, err, test.want)
	}
	for _, id := range []string{"0", "80000000", "g", "", "-1", "+1"} {
		_, err := readConfig(writeConfig(t, fmt.Sprintf(`layout: katran
backends: [{address: "192.0.2.1:443", server_ids: [%q]}]
`, id)))
		require.ErrorContains(t, err, "is not 1 to 7fffffff")
	}
	for _, text := range []string{"", "ids: [{config: 0, server_id_bytes: 1, nonce_bytes: 4}]"} {
		_, err := readConfig(writeConfig(t, text))
		require.Error(t, err)
	}
}
