package main

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/lazoquic/lazo/internal/browser"
	"github.com/lazoquic/lazo/internal/require"
)

// A tab is a page in a browser.
type tab interface {
	Eval(expr string) any
	Wait(expr string)
}

// playInTwo lets two pages play: they see each other move, chat, wave and talk, and come back after
// the server has started again.
func playInTwo(t *testing.T, open func(url string) tab) (front tab) {
	t.Helper()
	s, page, addr := serving(t, "-bots", "3", "-loss", "1", "-delay", "5ms")
	s.until(`server: 3 players`)
	ann, bob := open(page+"?name=Ann"), open(page+"?name=Bob")
	meet := func() {
		t.Helper()
		for _, p := range []tab{ann, bob} {
			p.Wait(`!!window.game && document.getElementById('state').textContent === 'connected' && game.players.size > 0`)
		}
		ann.Wait(fmt.Sprintf(`game.players.has(%v) && game.names.get(%[1]v) === 'Bob'`, bob.Eval(`game.id`)))
		bob.Wait(fmt.Sprintf(`game.players.has(%v) && game.names.get(%[1]v) === 'Ann'`, ann.Eval(`game.id`)))
		// Ann walks, and Bob sees it.
		at := fmt.Sprintf(`game.players.get(%v)`, ann.Eval(`game.id`))
		was := bob.Eval(at + `.x`)
		ann.Eval(`game.goal = [game.x + 60, game.y]; 0`)
		bob.Wait(fmt.Sprintf(`%s?.x > %v + 40`, at, was))
		// They chat. The browser, not this test, presses the button.
		ann.Eval(`document.getElementById('text').value = 'hello'; document.querySelector('#chat button').click(); 0`)
		bob.Wait(`game.lines.at(-1) === 'Ann: hello'`)
		ann.Wait(`game.lines.at(-1) === 'Ann: hello'`)
		bob.Eval(`document.getElementById('text').value = 'hi'; document.querySelector('#chat button').click(); 0`)
		ann.Wait(`game.lines.at(-1) === 'Bob: hi'`)
		bob.Wait(`game.lines.at(-1) === 'Bob: hi'`)
	}
	meet()
	ann.Eval(fmt.Sprintf(`link.signal({ to: %v, signal: { wave: true } }); 0`, bob.Eval(`game.id`)))
	bob.Wait(`document.getElementById('log').textContent.includes('Ann waves at you')`)
	ann.Eval(`keys.add('v'); 0`)
	bob.Wait(`game.frames > 10`)
	ann.Eval(`keys.delete('v'); 0`)
	// The panel has plots of what the path does: 10 ms of round trip. A browser draws only what is
	// in front, which is the page that was opened last.
	bob.Wait(`clock.points.length > 30 && clock.points.at(-1).rtt >= 10 && clock.points.at(-1).age > 5`)
	bob.Wait(`+document.getElementById('plot').dataset.points > 30`)
	bob.Wait(`clock.points.some(p => p.loss > 0) && clock.points.some(p => p.late > 0)`)

	// The server ends, and another one begins. Its certificate is another one too.
	s.end()
	ann.Wait(`document.getElementById('state').textContent.startsWith('connecting again')`)
	s = start(t, "-addr", "127.0.0.1:0", "-page", page[len("http://"):len(page)-1], "-every", "50ms")
	require.NotEqual(t, addr, s.until(`-connect ([0-9.:]+)$`)[1])
	s.until(`server: 2 players`)
	for _, p := range []tab{ann, bob} {
		p.Wait(`game.connections === 2`)
	}
	meet()
	t.Cleanup(s.end)
	return bob
}

func TestChromium(t *testing.T) {
	b := browser.Start(t)
	p := playInTwo(t, func(url string) tab { return b.Open(url) }).(*browser.Page)
	picture := p.Screenshot(1180, 900)
	require.True(t, bytes.HasPrefix(picture, []byte("\x89PNG")) && len(picture) > 20_000)
}

func TestFirefox(t *testing.T) {
	f := browser.StartFirefox(t)
	p := playInTwo(t, func(url string) tab { return f.Open(url) }).(*browser.Tab)
	picture := p.Screenshot()
	require.True(t, bytes.HasPrefix(picture, []byte("\x89PNG")) && len(picture) > 20_000)
}
