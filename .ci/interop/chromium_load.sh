#!/usr/bin/env bash
# Headless Chromium loads a page of 100 small resources over HTTP/3, posts 10 MB, listens to an
# EventSource, and reads a response as it arrives.
source "$(dirname "$0")/server.sh"
source "$(dirname "$0")/browser.sh"

# The browser dumps the page after it has loaded. Scripts delay that, one after the other, until all
# requests are done.
mkdir "$tmp/root"
python3 - "$tmp/root" <<'PY'
import pathlib, sys

root = pathlib.Path(sys.argv[1])
tags = []
for i in range(100):
    kind = i % 4
    if kind == 0:
        name = f"{i}.svg"
        text = f'<svg xmlns="http://www.w3.org/2000/svg" width="{i + 1}" height="1"/>'
        tags.append(f'<img src="{name}">')
    elif kind == 1:
        name, text = f"{i}.js", f"window.ran = (window.ran || 0) + {i}"
        tags.append(f'<script src="{name}" async></script>')
    elif kind == 2:
        name, text = f"{i}.css", f".c{i} {{ width: {i}px }}"
        tags.append(f'<link rel="stylesheet" href="{name}"><div class="c{i}"></div>')
    else:
        name, text = f"{i}.html", f"<p>{i}</p>"
        tags.append(f'<iframe src="{name}"></iframe>')
    (root / name).write_text(text)

page = """<!doctype html>
<title>load</title>
<pre id="out"></pre>
TAGS
<script>
  const lines = []
  const note = (name, value) => { lines.push(name + '=' + value); document.getElementById('out').textContent = lines.join('\\n') }
  const until = async f => { while (!f()) await new Promise(done => setTimeout(done, 20)) }
  performance.setResourceTimingBufferSize(10000)
  async function hop(path) { // the entry comes a little late
    const find = () => performance.getEntriesByName(new URL(path, location).href)
    await until(() => find().length)
    return find().map(e => e.nextHopProtocol).join()
  }

  const entries = () => performance.getEntriesByType('resource').filter(e => /\\/\\d+\\.(svg|js|css|html)$/.test(e.name))

  async function resources() {
    const frames = () => [...document.querySelectorAll('iframe[src$=html]')].map(f => Number(f.contentDocument.body.textContent))
    await until(() => entries().length === 100 && window.ran === 1225 && [...document.images].every(i => i.complete) && !frames().includes(0))
    const all = entries()
    note('resources', all.length + ' ' + [...new Set(all.map(e => e.nextHopProtocol))] + ', scripts ' + window.ran)
    const images = [...document.images].map(i => i.naturalWidth - 1)
    const boxes = [...document.querySelectorAll('div')].map(d => d.clientWidth)
    note('values', [...images, ...boxes, ...frames()].reduce((a, b) => a + b))
  }
  async function post() {
    const body = new Uint8Array(10_000_000).map((_, i) => i * 7 + (i >> 8))
    const r = await fetch('/sum', { method: 'POST', body })
    const sum = [...new Uint8Array(await crypto.subtle.digest('SHA-256', body))]
    const hex = sum.map(b => b.toString(16).padStart(2, '0')).join('')
    note('POST', r.status + ' ' + await hop('/sum') + ', same bytes: ' + ((await r.text()).trim() === hex))
  }
  const events = () => new Promise(done => {
    const seen = []
    const source = new EventSource('/events?n=5')
    source.onmessage = e => {
      seen.push(e.lastEventId)
      if (seen.length < 5) return
      source.close()
      note('events', seen)
      done()
    }
    source.onerror = () => { note('events', 'error after ' + seen); source.close(); done() }
  })
  // The response would take ten minutes: it ends when another one has come meanwhile.
  async function stream() {
    const stop = new AbortController()
    const reader = (await fetch('/events?n=6000', { signal: stop.signal })).body.getReader()
    let pieces = 0, between = 0 // how many pieces had come when the other response did
    while (!between || pieces <= between) {
      const { done } = await reader.read()
      if (done) throw 'the stream has ended'
      if (!pieces++) fetch('/headers').then(r => r.json()).then(() => { between = pieces })
    }
    stop.abort()
    note('stream', 'in pieces: ' + (pieces > 1) + ', another in between: ' + (between > 0) + ', ' + await hop('/headers'))
  }
  Promise.all([resources(), post(), events(), stream()])
    .catch(e => note('error', e))
    .finally(() => { done = true })
  let done = false
  // Scripts are read to their end, unlike images. Two series, so that there always is one.
  function hold(n, i) {
    const script = document.createElement('script')
    script.onload = script.onerror = () => { if (!done && i < 200) hold(n, i + 1) }
    script.src = '/events?n=' + n + '&i=' + i // takes n tenths of a second, and is no script
    document.head.append(script)
  }
  hold(7, 0)
  hold(10, 0)
</script>
"""
(root / "load.html").write_text(page.replace("TAGS", "\n".join(tags)))
PY

start_server -root "$tmp/root"
browse --dump-dom "https://$server_addr/load.html" >"$tmp/dom"
# The sums of the numbers 1, 5 ... 97, and of all others below 100.
expect "resources=100 h3, scripts 1225"
expect "values=3725"
expect "POST=200 h3, same bytes: true"
expect "events=0,1,2,3,4"
expect "stream=in pieces: true, another in between: true, h3"
stop_server
