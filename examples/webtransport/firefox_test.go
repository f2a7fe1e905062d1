package main

import (
	"strings"
	"testing"

	"github.com/lazoquic/lazo/internal/browser"
	"github.com/lazoquic/lazo/internal/require"
)

// TestFirefox lets the page measure and check. It ends the session itself, by a code.
func TestFirefox(t *testing.T) {
	f := browser.StartFirefox(t)
	s := start(t)
	var p *browser.Tab
	told := ""
	for range 10 {
		p = f.Open(s.page + "?seconds=4")
		require.Contains(t, <-s.lines, "has a session")
		p.Wait(`document.getElementById('state').textContent.startsWith('closed')`)
		require.Equal(t, "closed with code 7: enough", p.Eval(`document.getElementById('state').textContent`))
		// On a busy machine Firefox may close the connection, with H3_NO_ERROR, before it has sent
		// the code. Then the page is opened again.
		if told = <-s.lines; !strings.Contains(told, "application error 0x100") {
			break
		}
		t.Log(told)
	}
	require.Contains(t, told, "closed by peer with code 7: enough")
	for _, check := range []string{"bidi", "uni", "burst", "code"} {
		item := `document.getElementById('` + check + `')`
		require.Equal(t, "ok", p.Eval(item+`.className`), "%s: %v", check, p.Eval(item+`.textContent`))
		t.Log(p.Eval(item + `.textContent`))
	}
	require.Greater(t, p.Eval(`series.stream.back`).(float64), 0.0)
	require.Greater(t, p.Eval(`series.datagram.back`).(float64), 0.0)
	s.stop()
	require.NoError(t, <-s.ended)
}
