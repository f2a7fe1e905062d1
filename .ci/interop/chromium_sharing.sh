#!/usr/bin/env bash
# Headless Chromium asks for 149 small resources while an endless response comes over the same
# connection. It also asks for 8 endless ones at once.
source "$(dirname "$0")/server.sh"
source "$(dirname "$0")/browser.sh"

mkdir "$tmp/root"
cat >"$tmp/root/sharing.html" <<'HTML'
<!doctype html>
<title>sharing</title>
<pre id="out"></pre>
<script>
  const lines = []
  const note = (name, value) => { lines.push(name + '=' + value); document.getElementById('out').textContent = lines.join('\n') }
  const pause = ms => new Promise(done => setTimeout(done, ms))

  // read reads a body to its end, and tells of each piece.
  async function read(url, options, piece) {
    const reader = (await fetch(url, options)).body.getReader()
    for (;;) {
      const { done, value } = await reader.read()
      if (done) return
      piece(value.length)
    }
  }
  async function beside() {
    const stop = new AbortController()
    let got = 0
    read('/bytes/100000000000', { signal: stop.signal }, n => { got += n }).catch(() => {})
    while (got < 1e6) await pause(10)
    const took = []
    const small = async () => {
      const began = performance.now()
      const bytes = await (await fetch('/bytes/1000?' + Math.random())).arrayBuffer()
      if (bytes.byteLength === 1000) took.push(performance.now() - began)
    }
    const all = []
    for (let i = 0; i < 149; i++) {
      all.push(small())
      await pause(5)
    }
    await Promise.all(all)
    const before = got
    while (got === before) await pause(10)
    stop.abort()
    took.sort((a, b) => a - b)
    note('small', took.length + ', p50 ' + took[74].toFixed(0) + ' ms, p99 ' + took[147].toFixed(0) + ' ms')
  }
  // Each of 8 endless responses begins, and goes on after all have begun: none waits for the end of another.
  async function together() {
    const stop = new AbortController(), got = Array(8).fill(0)
    const all = got.map((_, i) => read('/bytes/100000000000?' + i, { signal: stop.signal }, n => { got[i] += n }).catch(() => {}))
    while (!got.every(n => n > 0)) await pause(10)
    const before = [...got]
    while (!got.every((n, i) => n > before[i])) await pause(10)
    stop.abort()
    await Promise.all(all)
    note('together', got.length)
  }
  let done = false
  beside().then(together).catch(e => note('error', e)).finally(() => { done = true })
  // The browser writes down the page once it is loaded, which one script after another holds up. They are read to their end.
  function hold(n, i) {
    const script = document.createElement('script')
    script.onload = script.onerror = () => { if (!done && i < 200) hold(n, i + 1) }
    script.src = '/events?n=' + n + '&i=' + i // takes n tenths of a second, and is no script
    document.head.append(script)
  }
  hold(7, 0)
  hold(10, 0)
</script>
HTML

start_server -root "$tmp/root"
browse --dump-dom "https://$server_addr/sharing.html" >"$tmp/dom"
expect "small=149, "
expect "together=8"
grep -o 'small=.*' "$tmp/dom"
stop_server
