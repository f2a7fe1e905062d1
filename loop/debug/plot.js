'use strict';
(() => {
  // Asks for the figures of this connection once a second, and draws the last five minutes.
  const url = new URL(location.href)
  url.searchParams.set('format', 'json')
  const seen = [], most = 300
  const note = text => { document.getElementById('note').textContent = text }
  const bytes = n => n >= 1e6 ? (n / 1e6).toFixed(2) + ' MB' : n >= 1e3 ? (n / 1e3).toFixed(1) + ' kB' : Math.round(n) + ' B'
  const plots = [
    ['window', s => [s.window, s.in_flight], bytes],
    ['rtt', s => [1e3 * s.rtt, 1e3 * s.latest_rtt], v => v.toFixed(1) + ' ms'],
    ['rate', (s, last) => last ? ['bytes_sent', 'bytes_received'].map(k => (s[k] - last[k]) / Math.max((Date.parse(s.now) - Date.parse(last.now)) / 1e3, 1e-3)) : [0, 0],
      v => bytes(v) + '/s'],
  ]
  function draw([id, values, name]) {
    const c = document.getElementById(id), ratio = window.devicePixelRatio || 1, style = getComputedStyle(document.documentElement)
    const color = n => style.getPropertyValue('--' + n).trim()
    c.width = c.clientWidth * ratio
    c.height = c.clientHeight * ratio
    const g = c.getContext('2d'), w = c.clientWidth, h = c.clientHeight, left = 80
    g.scale(ratio, ratio)
    g.fillStyle = color('bg')
    g.fillRect(0, 0, w, h)
    const rows = seen.map((s, i) => values(s, seen[i - 1]))
    const high = Math.max(...rows.flat(), 1)
    g.font = '11px system-ui, sans-serif'
    g.fillStyle = color('dim')
    g.fillText(name(high), 4, 12)
    g.fillText(name(0), 4, h - 4)
    rows[0].forEach((_, k) => {
      g.strokeStyle = color(k ? 'b' : 'a')
      g.lineWidth = 1.5
      g.beginPath()
      rows.forEach((r, i) => {
        const x = left + (w - left - 4) * (i + 1) / most, y = h - 4 - (h - 8) * r[k] / high
        if (i) g.lineTo(x, y); else { g.moveTo(left, y); g.lineTo(x, y) }
      })
      g.stroke()
    })
  }
  async function ask() {
    if (!document.hidden) {
      try {
        const r = await fetch(url)
        if (r.status === 404) return note('This connection has ended.')
        if (!r.ok) throw new Error('status ' + r.status)
        const s = await r.json()
        seen.push(s)
        if (seen.length > most) seen.shift()
        for (const cell of document.querySelectorAll('[data-key]')) cell.textContent = s[cell.dataset.key]
        plots.forEach(draw)
        note(`${seen.length} samples`)
      } catch (e) { note('No answer: ' + e.message) }
    }
    setTimeout(ask, 1000)
  }
  ask()
})()
