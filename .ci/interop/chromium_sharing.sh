#!/usr/bin/env bash
# Headless Chromium asks for 149 small resources while an endless response comes over the same
# connection. It also asks for 8 large ones at once.
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
  async function together() {
    let ended = 0, late = 0
    await Promise.all([...Array(8).keys()].map(async i => {
      let begun = false
      await read('/bytes/5000000?' + i, {}, () => { if (!begun) { begun = true; late += ended } })
      ended++
    }))
    note('together', ended + ', begun when another had ended: ' + late)
  }
  let done = false
  beside().then(together).catch(e => note('error', e)).finally(() => { done = true })
  // The browser writes down the page once it is loaded, which one script after another holds up. They are read to their end.
  function hold(n, i) {
    const script = document.createElement('script')
    script.onload = script.onerror = () => { if (!done && i < 100) hold(n, i + 1) }
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
expect "together=8, begun when another had ended: 0"
grep -o 'small=.*' "$tmp/dom"
stop_server
