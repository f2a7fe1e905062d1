package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lazoquic/lazo/internal/browser"
	"github.com/lazoquic/lazo/internal/require"
)

// colors is the number of colours of each canvas, in the order of the page.
const colors = `[...document.querySelectorAll('canvas')].map(c => {
  const seen = new Set(new Uint32Array(c.getContext('2d').getImageData(0, 0, c.width, c.height).data.buffer))
  return seen.size
})`

// TestChromium: the page loads nothing, has no error, draws, zooms and moves by mouse, keys and
// buttons, tells what is under the pointer, and follows a dark preference.
func TestChromium(t *testing.T) {
	b := browser.Start(t)
	dir := t.TempDir()
	logs := stalledLogs(t, dir)
	out := filepath.Join(dir, "page.html")
	view(t, append([]string{"-o", out}, logs...)...)
	url := "file://" + out
	p := b.Open(url)
	p.Wait(`(document.getElementById('range')?.textContent ?? '') !== ''`)
	require.Empty(t, p.Errors())
	for _, asked := range p.Requests() {
		require.True(t, asked == url || strings.HasPrefix(asked, "data:"), "the page asked for %s", asked)
	}
	for i, n := range p.Eval(colors).([]any) {
		require.Greater(t, n.(float64), 2, "canvas %d is empty", i)
	}
	require.Equal(t, float64(12), p.Eval(`document.querySelectorAll('canvas').length`))

	span := func() float64 {
		p.Eval(`new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))`)
		return p.Eval(`(() => { const ms = s => { const [n, unit] = s.split(' '); return unit === 's' ? 1e3 * n : +n }
			const [a, b] = document.getElementById('range').textContent.split(' to '); return ms(b) - ms(a) })()`).(float64)
	}
	click := func(id string) float64 {
		p.Eval(`document.getElementById('` + id + `').click()`)
		return span()
	}
	all := span()
	require.InDelta(t, all/2, click("zoom-in"), all/50, "the button zooms in")
	require.InDelta(t, all, click("zoom-out"), all/50, "and out")
	p.Eval(`document.querySelectorAll('canvas')[2].scrollIntoView()`)
	box := p.Eval(`(() => { const b = document.querySelectorAll('canvas')[2].getBoundingClientRect(); return [b.left, b.top, b.width, b.height] })()`).([]any)
	x, y := box[0].(float64)+box[2].(float64)/2, box[1].(float64)+box[3].(float64)/2
	p.Mouse("mouseMoved", x, y, 0, false)
	require.Contains(t, p.Eval(`document.getElementById('tip').textContent`), "last sent: ")
	require.Equal(t, false, p.Eval(`document.getElementById('tip').hidden`))
	p.Mouse("mouseWheel", x, y, -300, true)
	wheeled := span()
	require.Less(t, wheeled, all*0.6, "the wheel zooms in")
	before := p.Eval(`document.getElementById('range').textContent`)
	p.Mouse("mousePressed", x, y, 0, false)
	p.Mouse("mouseMoved", x+100, y, 0, false)
	p.Mouse("mouseReleased", x+100, y, 0, false)
	require.InDelta(t, wheeled, span(), all/50)
	require.NotEqual(t, before, p.Eval(`document.getElementById('range').textContent`), "dragging moves")
	p.Key("0")
	require.InDelta(t, all, span(), all/50, "0 shows all")
	p.Key("+")
	require.InDelta(t, all/2, span(), all/50, "+ zooms in")
	before = p.Eval(`document.getElementById('range').textContent`)
	p.Key("ArrowRight")
	span()
	require.NotEqual(t, before, p.Eval(`document.getElementById('range').textContent`), "an arrow moves")

	background := `(() => { const c = document.querySelector('canvas'); return [...c.getContext('2d').getImageData(c.width - 3, 3, 1, 1).data].join() })()`
	p.Dark(false)
	span()
	require.Equal(t, "255,255,255,255", p.Eval(background))
	p.Dark(true)
	span()
	require.Equal(t, "13,17,23,255", p.Eval(background))
	require.Empty(t, p.Errors())

	if to := os.Getenv("QLOGVIEW_SCREENSHOT"); to != "" { // for the documentation
		p.Dark(false)
		p.Key("0")
		p.Mouse("mouseMoved", 1, 1, 0, false)
		p.Eval(`document.activeElement.blur(); scrollTo(0, 0)`)
		span()
		require.NoError(t, os.WriteFile(to, p.Screenshot(1200, 1560), 0o644))
	}
}

// TestChromiumEnvelopes: a page of a trace with more points than it keeps draws envelopes, and
// tells what stands behind them.
func TestChromiumEnvelopes(t *testing.T) {
	b := browser.Start(t)
	dir := t.TempDir()
	log, err := os.Create(filepath.Join(dir, "large.sqlog"))
	require.NoError(t, err)
	_, err = io.Copy(log, &endlessLog{left: 8_000_000})
	require.NoError(t, err)
	require.NoError(t, log.Close())
	out := filepath.Join(dir, "page.html")
	view(t, "-o", out, log.Name())
	require.Positive(t, pageOf(t, out).Traces[0].Waiting.Width, "there are no bins")
	p := b.Open("file://" + out)
	p.Wait(`(document.getElementById('range')?.textContent ?? '') !== ''`)
	seen := p.Eval(colors).([]any)
	require.Len(t, seen, 6)
	for i, n := range seen {
		require.Greater(t, n.(float64), 2, "canvas %d is empty", i)
	}
	for i, want := range []string{"pacing: ", " packets, numbers ", "in flight: ", "smoothed: "} {
		p.Eval(fmt.Sprintf(`document.querySelectorAll('canvas')[%d].scrollIntoView({block: 'center'})`, i))
		box := p.Eval(fmt.Sprintf(`(() => { const b = document.querySelectorAll('canvas')[%d].getBoundingClientRect(); return [b.left + b.width / 2, b.top + 8] })()`, i)).([]any)
		p.Mouse("mouseMoved", box[0].(float64), box[1].(float64), 0, false)
		require.Contains(t, p.Eval(`document.getElementById('tip').textContent`), want)
	}
	for range 12 { // far beyond the width of a bin
		p.Key("+")
	}
	p.Eval(`new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))`)
	require.Empty(t, p.Errors())
}
