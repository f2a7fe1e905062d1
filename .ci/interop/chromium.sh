#!/usr/bin/env bash
# Headless Chromium loads pages from h3server over HTTP/3.
source "$(dirname "$0")/server.sh"
source "$(dirname "$0")/browser.sh"

# This page loads the server's own page in a frame. While it loads, it transfers bytes both ways. It
# shows the protocol of each response.
mkdir "$tmp/root"
cat >"$tmp/root/check.html" <<'HTML'
<!doctype html>
<title>check</title>
<pre id="out"></pre>
<iframe id="frame" src="/"></iframe>
<script>
  const lines = []
  const note = (name, value) => { lines.push(name + '=' + value); document.getElementById('out').textContent = lines.join('\n') }
  const hop = entry => entry ? entry.nextHopProtocol : 'none'
  const send = (method, path, body) => {
    const r = new XMLHttpRequest()
    r.open(method, path, false)
    r.overrideMimeType('text/plain; charset=x-user-defined')
    r.send(body)
    note(method + ' ' + path, r.status + ' ' + r.responseText.length + ' ' + hop(performance.getEntriesByName(new URL(path, location).href)[0]))
  }
  note('page', hop(performance.getEntriesByType('navigation')[0]))
  send('GET', '/bytes/3000000')
  send('POST', '/echo', 'x'.repeat(1000000))
  document.getElementById('frame').addEventListener('load', e => {
    const w = e.target.contentWindow
    note('frame', hop(w.performance.getEntriesByType('navigation')[0]))
    note('heading', w.document.querySelector('h1').textContent)
  })
</script>
HTML

for flags in "" "-retry"; do
	start_server -root "$tmp/root" $flags
	browse --dump-dom "https://$server_addr/check.html" >"$tmp/dom"
	expect "page=h3"
	expect "GET /bytes/3000000=200 3000000 h3"
	expect "POST /echo=200 1000000 h3"
	expect "frame=h3"
	expect "heading=This is HTTP/3.0"
	stop_server
done

start_server
browse --dump-dom "https://$server_addr/" >"$tmp/dom"
expect "your browser calls h3"
browse --window-size=900,700 --screenshot="$tmp/page.png" "https://$server_addr/" >/dev/null
[ "$(head -c 4 "$tmp/page.png" | tail -c 3)" = PNG ] && [ "$(stat -c %s "$tmp/page.png")" -gt 5000 ] ||
	die "chromium: the screenshot is empty"
echo "a screenshot of $(stat -c %s "$tmp/page.png") bytes"
stop_server
