package hostile

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/lazoquic/lazo/internal/require"
)

const (
	pagePath   = "../../docs/security.md"
	pageUpdate = "LAZO_UPDATE"
	pageEnd    = "<!-- end -->\n"
)

// TestPage: the tables in docs/security.md are those of this package. With LAZO_UPDATE they are
// written.
func TestPage(t *testing.T) {
	b, err := os.ReadFile(pagePath)
	require.NoError(t, err)
	want := string(b)
	for name, table := range map[string]string{"attacks": table(), "codes": codeTable(), "advisories": advisoryTable()} {
		begin := "<!-- " + name + ": LAZO_UPDATE=1 go test -run TestPage ./internal/hostile -->\n"
		head, rest, ok := strings.Cut(want, begin)
		require.True(t, ok, name)
		_, tail, ok := strings.Cut(rest, pageEnd)
		require.True(t, ok, name)
		want = head + begin + table + pageEnd + tail
	}
	if os.Getenv(pageUpdate) != "" {
		require.NoError(t, os.WriteFile(pagePath, []byte(want), 0o644))
		return
	}
	require.True(t, want == string(b), "it is not: %s=1 go test -run TestPage ./internal/hostile", pageUpdate)
}

// table is the table of all attacks.
func table() string {
	var b strings.Builder
	b.WriteString("\n| what is sent | by | outcome | bytes held | bytes in answer | by the rule of |\n")
	b.WriteString("|---|---|---|---|---|---|\n")
	for _, a := range attacks() {
		answers := fmt.Sprint(a.answers)
		if a.want == silence {
			answers = "0"
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %d | %s | %s |\n", a.name, a.at, a.want, a.held, answers, a.rule)
	}
	b.WriteString("\n")
	return b.String()
}

// TestPageNames: the tests that the page names exist.
func TestPageNames(t *testing.T) {
	b, err := os.ReadFile(pagePath)
	require.NoError(t, err)
	names := regexp.MustCompile("`([a-z0-9/]+\\.(?:Test|Fuzz)\\w+)`").FindAllStringSubmatch(string(b), -1)
	require.Greater(t, len(names), 50)
	for _, name := range names {
		requireTest(t, name[1])
	}
}

// TestNames: each attack has a name of its own, and a rule.
func TestNames(t *testing.T) {
	seen := make(map[string]bool)
	for _, a := range attacks() {
		require.False(t, seen[a.name], a.name)
		seen[a.name] = true
		require.Contains(t, a.rule, ", Section ", a.name)
		require.NotNil(t, a.send, a.name)
	}
}
