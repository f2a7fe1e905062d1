package conntest

import (
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"testing/cryptotest"
)

// seedVariable names the environment variable that replays a run.
const seedVariable = "LAZO_SEED"

// Seed makes crypto/tls and crypto/rand deterministic for the test, and returns
// a source for [conn.EndpointConfig.Rand]. It draws from seed, or from LAZO_SEED if
// that is set. The test cannot be parallel. Seed may be called again, to start anew.
//
// It wraps [cryptotest.SetGlobalRandom]: since Go 1.26 setting tls.Config.Rand is
// not enough.
func Seed(t *testing.T, seed uint64) io.Reader {
	t.Helper()
	seed = effectiveSeed(t, seed)
	cryptotest.SetGlobalRandom(t, seed)
	return newSource(seed)
}

// newSource returns a source that draws from seed, other bytes than crypto/rand.
func newSource(seed uint64) io.Reader {
	key := [32]byte{8: 'c', 9: 'o', 10: 'n', 11: 'n'}
	binary.LittleEndian.PutUint64(key[:], seed)
	return rand.NewChaCha8(key)
}

// effectiveSeed returns seed, unless the environment has another.
func effectiveSeed(t testing.TB, seed uint64) uint64 {
	t.Helper()
	s, ok := os.LookupEnv(seedVariable)
	if !ok {
		return seed
	}
	seed, err := strconv.ParseUint(s, 0, 64)
	if err != nil {
		t.Fatalf("conntest: %s: %v", seedVariable, err)
	}
	return seed
}

// replayLine says how to run t again, alone and with the same seed.
func replayLine(t testing.TB, seed uint64) string {
	return fmt.Sprintf("seed %d; replay: %s=%d go test -count=1 -run %s %s",
		seed, seedVariable, seed, runPattern(t.Name()), packageDir())
}

// runPattern returns the pattern of go test -run for exactly one test, quoted for
// a shell. The pattern is split at slashes, and so are names.
func runPattern(name string) string {
	parts := strings.Split(name, "/")
	for i, part := range parts {
		parts[i] = "^" + regexp.QuoteMeta(part) + "$"
	}
	return "'" + strings.ReplaceAll(strings.Join(parts, "/"), "'", `'\''`) + "'"
}

// packageDir returns the directory of the package under test, in which go test
// runs it, as seen from the root of its module.
func packageDir() string {
	dir, err := os.Getwd()
	if err != nil {
		return "."
	}
	for root := dir; ; root = filepath.Dir(root) {
		if _, err := os.Stat(filepath.Join(root, "go.mod")); err == nil {
			rel, err := filepath.Rel(root, dir)
			if err != nil || rel == "." {
				return "."
			}
			return "./" + filepath.ToSlash(rel)
		}
		if root == filepath.Dir(root) {
			return "."
		}
	}
}
