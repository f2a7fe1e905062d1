package edge

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/lazoquic/lazo/internal/browser"
	"github.com/lazoquic/lazo/internal/require"
)

// chattyServer is a backend in Node. It sends each part of /api/down when the page has asked for it
// with /api/next. It answers /api/seen with how many bytes of /api/up have come, as soon as there
// are more. It echoes what WebSockets bring.
const chattyServer = `
const http = require('http'), crypto = require('crypto')
const [host, port] = process.argv[1].split(':')
let down, seen = 0, told = 0, waits
const tell = () => {
  if (!waits || seen === told) return
  told = seen
  waits.end(String(seen))
  waits = undefined
}
const server = http.createServer((req, res) => {
  switch (req.url) {
  case '/api/down':
    down = res
    down.write('part 0')
    return
  case '/api/next':
    down.write('next')
    break
  case '/api/last':
    down.end('last')
    break
  case '/api/up':
    req.on('data', d => { seen += d.length; tell() })
    req.on('end', () => res.end(req.method + ' ' + seen))
    return
  case '/api/seen':
    waits = res
    tell()
    return
  default:
    res.write(req.headers.via)
  }
  res.end()
})
server.on('upgrade', (req, socket) => {
  const sum = crypto.createHash('sha1').update(req.headers['sec-websocket-key'] + '258EAFA5-E914-47DA-95CA-C5AB0DC85B11')
  socket.write('HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n' +
    'Sec-WebSocket-Accept: ' + sum.digest('base64') + '\r\n\r\n')
  let got = Buffer.alloc(0)
  socket.on('data', d => {
    got = Buffer.concat([got, d])
    for (;;) {
      const short = got[1] & 127, head = short === 127 ? 10 : short === 126 ? 4 : 2
      if (got.length < head) return
      const n = short === 127 ? Number(got.readBigUInt64BE(2)) : short === 126 ? got.readUInt16BE(2) : short
      if (got.length < head + 4 + n) return
      const mask = got.subarray(head, head + 4), text = Buffer.from(got.subarray(head + 4, head + 4 + n))
      for (let i = 0; i < n; i++) text[i] ^= mask[i % 4]
      const plain = Buffer.from(got.subarray(0, head))
      plain[1] &= 127
      socket.write(Buffer.concat([plain, text]))
      if ((plain[0] & 15) === 8) socket.end()
      got = got.subarray(head + 4 + n)
    }
  })
})
server.listen(port, host)
`

// chromiumPage is what caddy serves.
const chromiumPage = `<!doctype html><title>edge</title><link rel="icon" href="data:,">
<script>
const text = async url => (await fetch(url)).text()
const hop = url => performance.getEntriesByName(new URL(url, location).href).at(-1).nextHopProtocol
const visit = performance.getEntriesByType('navigation')[0]

// download reads a response in parts, each of which the backend sends when it is asked to.
async function download() {
  const parts = (await fetch('/api/down')).body.pipeThrough(new TextDecoderStream()).getReader()
  const got = [(await parts.read()).value]
  for (const next of ['next', 'next', 'last']) {
    await text('/api/' + next)
    got.push((await parts.read()).value)
  }
  if (!(await parts.read()).done) got.push('more')
  return got.join()
}

// upload sends a request in parts, each when the backend has seen the one before.
async function upload() {
  const part = new Uint8Array(100_000)
  let sent = 0
  const body = new ReadableStream({
    async pull(c) {
      while (sent > 0 && +await text('/api/seen') < sent) {}
      if (sent === 300_000) return c.close()
      sent += part.length
      c.enqueue(part)
    },
  }, { highWaterMark: 0 })
  return (await fetch('/api/up', { method: 'POST', body, duplex: 'half' })).text()
}

// socket has messages echoed, and returns their lengths and how the WebSocket ended.
function socket() {
  return new Promise(done => {
    const s = new WebSocket('wss://' + location.host + '/api/socket'), got = []
    s.onopen = () => { s.send('hello'); s.send('x'.repeat(1000)); s.send('y'.repeat(300_000)) }
    s.onmessage = e => { if (got.push(e.data.length) === 3) s.close(4000, 'bye') }
    s.onclose = e => done([...got, e.code, e.reason, e.wasClean].join())
  })
}
</script>`

// quicFlags let Chromium use HTTP/3 with a test's certificate once it has learned of it. Over QUIC
// it trusts only authorities of its own, except for hosts of the first flag. That flag would make
// it begin with QUIC, too, but only at port 1. The test serves at one address of localhost.
// WebSockets over HTTP/3 are a feature that has to be switched on.
var quicFlags = []string{
	"--origin-to-force-quic-on=localhost:1",
	"--host-resolver-rules=MAP localhost 127.0.0.1",
	"--enable-features=EnableWebsocketsOverHttp3",
}

// TestChromium has a browser come over TCP first, learn of HTTP/3 there, and use it from then on:
// for a page of caddy, and for transfers and a WebSocket of Node. Where the browser has no
// connection over QUIC, its WebSocket is one over HTTP/1.1.
func TestChromium(t *testing.T) {
	if os.Getenv(browser.Variable) == "" {
		t.Skip(browser.Variable, " is not set")
	}
	root, caddy, node := t.TempDir(), free(t), free(t)
	require.NoError(t, os.WriteFile(filepath.Join(root, "index.html"), []byte(chromiumPage), 0o600))
	runBackend(t, caddy, "caddy", "file-server", "--root", root, "--listen", caddy)
	runBackend(t, node, "node", "-e", chattyServer, node)
	p := start(t, fmt.Sprintf("pools: {caddy: {backends: ['http://%s']}, node: {backends: ['http://%s']}}\n"+
		"routes: [{pool: caddy}, {path: /api, pool: node}]\n", caddy, node))
	requests := p.requests()
	b := browser.Start(t, append(quicFlags, "--ignore-certificate-errors-spki-list="+p.keyHash())...)
	_, port, err := net.SplitHostPort(p.addr)
	require.NoError(t, err)
	const loaded = `typeof socket === 'function' && visit.nextHopProtocol !== ''`
	open := func(host, query string) *browser.Page {
		page := b.Open("https://" + host + ":" + port + "/" + query)
		page.Wait(loaded)
		return page
	}

	page := open("localhost", "")
	require.Equal(t, "h2", page.Eval(`visit.nextHopProtocol`), "the first visit is over TCP")
	page.Wait(`(async () => { performance.clearResourceTimings(); await text('/api/via'); return hop('/api/via') === 'h3' })()`)
	require.Empty(t, page.Errors())

	page = open("localhost", "?again")
	require.Equal(t, "h3", page.Eval(`visit.nextHopProtocol`), "the second visit is over QUIC")
	require.Equal(t, "3.0 edge", page.Eval(`text('/api/via')`))
	require.Equal(t, "part 0,next,next,last", page.Eval(`download()`))
	require.Equal(t, "POST 300000", page.Eval(`upload()`))
	for _, path := range []string{"/api/via", "/api/down", "/api/up"} {
		require.Equal(t, "h3", page.Eval(fmt.Sprintf(`hop(%q)`, path)), path)
	}
	came := 0
	socket := func(page *browser.Page) (proto string) {
		require.Equal(t, "5,1000,300000,4000,bye,true", page.Eval(`socket()`))
		require.Empty(t, page.Errors())
		came++
		require.Eventually(t, func() bool {
			n := 0
			for _, r := range requests() {
				require.True(t, r.Whole, r)
				if r.Path == "/api/socket" {
					n++
					proto = r.Proto
				}
			}
			return n == came
		}, time.Minute, 10*time.Millisecond)
		return proto
	}
	// The browser tries TCP, too, and on a busy machine that may be ready first.
	for proto := ""; proto != "HTTP/3.0"; proto = socket(page) {
		require.Less(t, came, 20, "no WebSocket comes over HTTP/3")
	}
	// At 127.0.0.1 it trusts nobody over QUIC.
	require.Equal(t, "HTTP/1.1", socket(open("127.0.0.1", "")))
}
