package hostile

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/lazoquic/lazo/internal/require"
)

const (
	pagePath   = "../../docs/security.md"
	pageUpdate = "LAZO_UPDATE"
	pageBegin  = "<!-- made from internal/hostile by LAZO_UPDATE=1 go test -run TestPage ./internal/hostile -->\n"
	pageEnd    = "<!-- end -->\n"
)

// TestPage: the table in docs/security.md is that of the attacks here. With LAZO_UPDATE it is
// written.
func TestPage(t *testing.T) {
	b, err := os.ReadFile(pagePath)
	require.NoError(t, err)
	head, rest, ok := strings.Cut(string(b), pageBegin)
	require.True(t, ok)
	_, tail, ok := strings.Cut(rest, pageEnd)
	require.True(t, ok)
	want := head + pageBegin + table() + pageEnd + tail
	if os.Getenv(pageUpdate) != "" {
		require.NoError(t, os.WriteFile(pagePath, []byte(want), 0o644))
		return
	}
	require.True(t, want == string(b), "it is not: %s=1 go test -run TestPage ./internal/hostile", pageUpdate)
}

// table is the table of all attacks.
func table() string {
	var b strings.Builder
	b.WriteString("\n| what is sent | by | outcome | bytes held | bytes in answer | by the rule of | holes elsewhere |\n")
	b.WriteString("|---|---|---|---|---|---|---|\n")
	for _, a := range attacks() {
		answers := fmt.Sprint(a.answers)
		if a.want == silence {
			answers = "0"
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %d | %s | %s | %s |\n", a.name, a.at, a.want, a.held, answers, a.rule, strings.Join(a.refs, ", "))
	}
	b.WriteString("\n")
	return b.String()
}

// TestNames: each attack has a name of its own, and a rule.
func TestNames(t *testing.T) {
	seen := make(map[string]bool)
	for _, a := range attacks() {
		require.False(t, seen[a.name], a.name)
		seen[a.name] = true
		require.Contains(t, a.rule, "RFC ", a.name)
		require.NotNil(t, a.send, a.name)
	}
}
