package runner

import (
	"encoding/hex"
	"fmt"
	"strings"
	"sync"
)

// A keyLog is the KeyLogWriter of a tls.Config, in the format of SSLKEYLOGFILE.
type keyLog struct {
	mu      sync.Mutex
	secrets map[string][]byte // by label and random of the ClientHello
}

// The labels of secrets.
const (
	labelClientEarly     = "CLIENT_EARLY_TRAFFIC_SECRET"
	labelClientHandshake = "CLIENT_HANDSHAKE_TRAFFIC_SECRET"
	labelServerHandshake = "SERVER_HANDSHAKE_TRAFFIC_SECRET"
	labelClientTraffic   = "CLIENT_TRAFFIC_SECRET_0"
	labelServerTraffic   = "SERVER_TRAFFIC_SECRET_0"
)

// Write takes in a line.
func (l *keyLog) Write(b []byte) (int, error) {
	fields := strings.Fields(string(b))
	if len(fields) != 3 {
		return 0, fmt.Errorf("runner: %d fields in a line of the key log", len(fields))
	}
	secret, err := hex.DecodeString(fields[2])
	if err != nil {
		return 0, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.secrets == nil {
		l.secrets = make(map[string][]byte)
	}
	l.secrets[fields[0]+" "+fields[1]] = secret
	return len(b), nil
}

// secret returns a secret, nil if it is not known.
func (l *keyLog) secret(label string, random []byte) []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.secrets[label+" "+hex.EncodeToString(random)]
}
