'use strict'

// The page plays like every other client: package world, in internal/world, has the messages.
const $ = id => document.getElementById(id)
const Signalling = 1, Chat = 2, Inventory = 3
const tick = 1000 / 30, speed = 8 // milliseconds; how far this player gets in a tick
const shown = 15000 // milliseconds in the plots
const dead = 3000 // milliseconds without a snapshot after which the connection counts as lost
const name = new URLSearchParams(location.search).get('name') || 'guest ' + Math.floor(100 + Math.random() * 900)

// What this page knows. Tests look at it.
const game = window.game = {
  name, id: 0, x: 0, y: 0, size: 4096, view: 512, have: 0, connections: 0,
  players: new Map(), // those that were seen lately, by ID
  names: new Map(), coins: new Map(), lines: [],
  frames: 0, // of voice
}
const link = { send: null, say: null, signal: null } // of the session, null without one

// tenths returns the clock of this page, in tenths of a millisecond.
const tenths = () => Math.floor(performance.now() * 10) >>> 0

// ---- The connection

const sleep = ms => new Promise(done => setTimeout(done, ms))

function state(text, on) {
  $('state').textContent = text
  $('state').className = on ? 'on' : 'off'
}

// stay connects again and again, as the server may start again with another certificate.
async function stay() {
  for (let pause = 100; ; pause = Math.min(2 * pause, 2000)) {
    const before = game.connections
    const why = await session().catch(e => e)
    link.send = link.say = link.signal = null
    state('connecting again: ' + (why?.message || why), false)
    if (game.connections > before) pause = 100
    await sleep(pause)
  }
}

// session plays until the session ends, and returns why.
async function session() {
  const { url, hash } = await (await fetch('server', { cache: 'no-store' })).json()
  const value = Uint8Array.from(atob(hash), c => c.charCodeAt(0))
  const wt = new WebTransport(url, { serverCertificateHashes: [{ algorithm: 'sha-256', value }] })
  wt.closed.catch(() => {})
  const timers = []
  try {
    await Promise.race([wt.ready, sleep(5000).then(() => { throw new Error('no answer') })])
    const ended = new Promise(done => { timers.push(setInterval(() => { if (performance.now() - clock.last > dead) done('silence') }, 250)) })
    clock.reset()
    const say = await channel(wt, Chat, chatted)
    await channel(wt, Inventory, counted)
    const signal = await channel(wt, Signalling, m => signalled(m, () => {
      link.say = say
      link.signal = signal
      game.connections++
      state('connected', true)
    }))
    signal({ name })
    look(wt).catch(() => {})
    const send = datagrams(wt)
    timers.push(setInterval(() => step(send), tick), setInterval(ask, 300), setInterval(() => talk(send), 20))
    const info = await Promise.race([wt.closed, ended])
    return info?.reason || info || 'the server has gone'
  } finally {
    timers.forEach(clearInterval)
    try { wt.close() } catch { } // it may be closed already
  }
}

// channel opens a stream of a kind, and returns the function that sends a message on it.
async function channel(wt, kind, receive) {
  const { readable, writable } = await wt.createBidirectionalStream()
  const w = writable.getWriter()
  w.write(Uint8Array.of(kind)).catch(() => {})
  messages(readable, receive).catch(() => {})
  return m => {
    const text = new TextEncoder().encode(JSON.stringify(m))
    const b = new Uint8Array(2 + text.length)
    new DataView(b.buffer).setUint16(0, text.length)
    b.set(text, 2)
    w.write(b).catch(() => {})
  }
}

// messages reads the messages of a stream.
async function messages(readable, receive) {
  const r = readable.getReader()
  for (let rest = new Uint8Array(); ;) {
    const { value, done } = await r.read()
    if (done) return
    const b = new Uint8Array(rest.length + value.length)
    b.set(rest)
    b.set(value, rest.length)
    let at = 0
    while (b.length >= at + 2) {
      const end = at + 2 + (b[at] << 8 | b[at + 1])
      if (b.length < end) break
      receive(JSON.parse(new TextDecoder().decode(b.subarray(at + 2, end))))
      at = end
    }
    rest = b.slice(at)
  }
}

// datagrams returns the function that sends datagrams. The browser drops those that wait for too
// long. While it takes none, new ones are dropped here, so that none waits behind older ones.
function datagrams(wt) {
  const writable = wt.datagrams.createWritable ? wt.datagrams.createWritable() : wt.datagrams.writable
  try { wt.datagrams.outgoingMaxAge = tick } catch { } // not in every browser
  const w = writable.getWriter()
  return v => { if (w.desiredSize > 0) w.write(v).catch(() => {}) }
}

// ---- What comes by stream

function signalled(m, joined) {
  if (m.welcome) {
    Object.assign(game, { id: m.welcome.id, x: m.welcome.x, y: m.welcome.y, size: m.welcome.size, view: m.welcome.view })
    game.goal = null
    game.players.clear()
    game.names.clear() // a server that has started again gives IDs anew
    joined()
  }
  for (const [id, of] of Object.entries(m.names ?? {})) game.names.set(+id, of)
  if (m.signal?.wave) log(m.name, ' waves at you', 'note')
}

function chatted(m) {
  if (m.refused) return log('', 'refused: ' + m.refused, 'note')
  game.lines.push(m.name + ': ' + m.text)
  if (game.lines.length > 100) game.lines.shift()
  game.names.set(m.from, m.name)
  log(m.name, ': ' + m.text)
}

function log(who, text, kind = '') {
  const line = document.createElement('div'), b = document.createElement('span')
  b.textContent = who
  line.className = kind
  line.append(b, text)
  $('log').append(line)
  if ($('log').childElementCount > 100) $('log').firstChild.remove()
  $('log').scrollTop = 1e9
}

function counted(m) {
  for (const [i, x, y] of m.coins ?? []) game.coins.set(i, [x, y])
  game.have = m.have ?? game.have
}

// ask asks for the names of players.
function ask() {
  const who = [...game.players.keys()].filter(id => !game.names.has(id)).slice(0, 64)
  if (who.length && link.signal) link.signal({ who })
  if (game.names.size > 10000) game.names.clear()
}

// ---- What comes by datagram

// The clock of the server, and what the plots show.
const clock = {
  last: 0, tick: -1, offset: null, best: Infinity, bestAt: 0, base: Infinity, points: [], ticks: [],
  reset() { Object.assign(this, { last: performance.now(), tick: -1, offset: null, best: Infinity, base: Infinity, ticks: [] }) },
}

async function look(wt) {
  for (const r = wt.datagrams.readable.getReader(); ;) {
    const { value, done } = await r.read()
    if (done) return
    const v = new DataView(value.buffer, value.byteOffset, value.byteLength)
    if (v.getUint8(0) === 1 && v.byteLength >= 16) snapshot(v)
    else if (v.getUint8(0) === 2 && v.byteLength > 7) heard(v)
  }
}

// snapshot takes a snapshot in. The newest wins.
function snapshot(v) {
  const n = v.getUint32(1), at = v.getUint32(5), echo = v.getUint32(9), held = v.getUint16(13)
  const now = performance.now(), local = tenths()
  if (clock.tick >= 0 && (n - clock.tick | 0) <= 0) return
  clock.tick = n
  clock.last = now
  clock.ticks.push([now, n])
  while (clock.ticks[0][0] < now - 3000) clock.ticks.shift()
  let rtt = null
  if (held !== 0xffff) {
    rtt = Math.max((local - echo - held | 0) / 10, 0)
    if (rtt <= clock.best || now > clock.bestAt + 10000) { // the fastest round trip tells the clock best
      Object.assign(clock, { best: rtt, bestAt: now, offset: at + Math.round(rtt * 5) - local | 0 })
    }
  }
  const ages = []
  const way = clock.offset === null ? 0 : Math.max((local + clock.offset - at | 0) / 10, 0)
  for (let i = 16; i + 10 <= v.byteLength; i += 10) {
    const id = v.getUint32(i), age = way + v.getUint16(i + 8) / 10
    if (id === game.id) continue
    const p = game.players.get(id) ?? { drawX: v.getUint16(i + 4), drawY: v.getUint16(i + 6), talked: -1e9 }
    Object.assign(p, { x: v.getUint16(i + 4), y: v.getUint16(i + 6), born: now - age, at: now })
    game.players.set(id, p)
    ages.push(age)
  }
  for (const [id, p] of game.players) if (p.at < now - 1500) game.players.delete(id)
  // Lateness is how much longer a snapshot took than the fastest. The slow rise follows the clocks.
  const took = (local - at | 0) / 10
  clock.base = Math.min(clock.base + 0.01, took)
  const first = clock.ticks[0][1], expected = n - first + 1
  clock.points.push({
    t: now, rtt, late: took - clock.base, age: clock.offset !== null && ages.length ? ages.reduce((a, b) => a + b) / ages.length : null,
    loss: 100 * (1 - clock.ticks.length / expected),
  })
  while (clock.points[0].t < now - shown - 1000) clock.points.shift()
}

// heard takes a frame of voice in.
function heard(v) {
  game.frames++
  const p = game.players.get(v.getUint32(1))
  if (p) p.talked = performance.now()
}

// ---- What this player does

const keys = new Set()
const ways = { ArrowLeft: [-1, 0], a: [-1, 0], ArrowRight: [1, 0], d: [1, 0], ArrowUp: [0, -1], w: [0, -1], ArrowDown: [0, 1], s: [0, 1] }
let seq = 0, voice = 0, stepped = 0

// step walks, and says so.
function step(send) {
  const now = performance.now(), far = speed * Math.min((now - stepped) / tick, 5)
  stepped = now
  let dx = 0, dy = 0
  for (const k of keys) if (ways[k]) { dx += ways[k][0]; dy += ways[k][1] }
  if (dx || dy) game.goal = null
  else if (game.goal) [dx, dy] = [game.goal[0] - game.x, game.goal[1] - game.y]
  const length = Math.hypot(dx, dy)
  if (length) {
    const part = game.goal ? Math.min(far / length, 1) : far / length
    game.x = Math.max(0, Math.min(game.x + dx * part, game.size - 1))
    game.y = Math.max(0, Math.min(game.y + dy * part, game.size - 1))
    if (game.goal && part === 1) game.goal = null
  }
  if (!game.id) return
  const v = new DataView(new ArrayBuffer(17)), local = tenths()
  v.setUint8(0, 1)
  v.setUint32(1, ++seq)
  v.setUint32(5, clock.offset === null ? 0 : Math.max((local + clock.offset) >>> 0, 1))
  v.setUint32(9, local)
  v.setUint16(13, game.x)
  v.setUint16(15, game.y)
  send(v)
}

// talk sends a frame of voice.
function talk(send) {
  if (!keys.has('v')) return
  const v = new DataView(new ArrayBuffer(63))
  v.setUint8(0, 2)
  v.setUint16(1, ++voice)
  crypto.getRandomValues(new Uint8Array(v.buffer, 3))
  send(v)
}

const key = e => e.key.length === 1 ? e.key.toLowerCase() : e.key
addEventListener('keydown', e => {
  if (e.target === $('text') || e.ctrlKey || e.metaKey || e.altKey) return
  if (ways[key(e)] || key(e) === 'v') { keys.add(key(e)); e.preventDefault() }
})
addEventListener('keyup', e => keys.delete(key(e)))
addEventListener('blur', () => keys.clear())
$('field').addEventListener('pointerdown', e => {
  const box = $('field').getBoundingClientRect(), scale = 2.1 * game.view / box.width
  const x = game.x + (e.clientX - box.x - box.width / 2) * scale, y = game.y + (e.clientY - box.y - box.height / 2) * scale
  for (const [id, p] of game.players) {
    if (Math.hypot(p.x - x, p.y - y) < 20 && link.signal) return link.signal({ to: id, signal: { wave: true } })
  }
  game.goal = [Math.max(0, Math.min(x, game.size - 1)), Math.max(0, Math.min(y, game.size - 1))]
})
$('chat').addEventListener('submit', e => {
  e.preventDefault()
  const text = $('text').value.trim()
  if (!text || !link.say) return
  link.say({ text })
  $('text').value = ''
})

// ---- What it looks like

// surface makes a canvas as large as it is shown.
function surface(canvas) {
  const ratio = devicePixelRatio, w = canvas.clientWidth, h = canvas.clientHeight
  if (canvas.width !== Math.round(w * ratio) || canvas.height !== Math.round(h * ratio)) {
    canvas.width = Math.round(w * ratio)
    canvas.height = Math.round(h * ratio)
  }
  const g = canvas.getContext('2d')
  g.setTransform(ratio, 0, 0, ratio, 0, 0)
  g.clearRect(0, 0, w, h)
  return [g, w, h]
}

const hue = id => id * 137.5 % 360

function drawField(color) {
  const [g, w] = surface($('field')), scale = w / (2.1 * game.view), now = performance.now()
  const px = x => w / 2 + (x - game.x) * scale, py = y => w / 2 + (y - game.y) * scale
  g.fillStyle = color('--paper')
  g.fillRect(px(0), py(0), game.size * scale, game.size * scale)
  g.strokeStyle = color('--line')
  g.lineWidth = 1
  g.beginPath()
  for (let at = 0; at <= game.size; at += 128) {
    g.moveTo(px(at), py(0)); g.lineTo(px(at), py(game.size))
    g.moveTo(px(0), py(at)); g.lineTo(px(game.size), py(at))
  }
  g.stroke()
  g.strokeStyle = color('--soft')
  g.setLineDash([4, 6])
  g.beginPath(); g.arc(w / 2, w / 2, game.view * scale, 0, 7); g.stroke()
  g.setLineDash([])
  g.fillStyle = color('--gold')
  for (const [x, y] of game.coins.values()) { g.beginPath(); g.arc(px(x), py(y), 6, 0, 7); g.fill() }
  g.font = '12px system-ui, sans-serif'
  g.textAlign = 'center'
  for (const [id, p] of game.players) {
    p.drawX += (p.x - p.drawX) * 0.35
    p.drawY += (p.y - p.drawY) * 0.35
    // The older a position is, the paler.
    drawPlayer(g, px(p.drawX), py(p.drawY), hue(id), game.names.get(id) ?? '', Math.max(1 - (now - p.born) / 2000, 0.15), now - p.talked < 200, color)
  }
  if (game.id) drawPlayer(g, w / 2, w / 2, hue(game.id), name, 1, keys.has('v'), color)
}

function drawPlayer(g, x, y, hue, name, alpha, talks, color) {
  g.globalAlpha = alpha
  g.fillStyle = 'hsl(' + hue + ' 70% 50%)'
  g.beginPath(); g.arc(x, y, 9, 0, 7); g.fill()
  if (talks) {
    g.strokeStyle = g.fillStyle
    g.lineWidth = 3
    g.beginPath(); g.arc(x, y, 15, 0, 7); g.stroke()
  }
  g.fillStyle = color('--ink')
  g.fillText(name, x, y - 14)
  g.globalAlpha = 1
}

const plots = [
  ['rtt', 'round trip', 'ms', '--blue'], ['loss', 'snapshots lost, of 3 s', '%', '--red'],
  ['age', 'age of positions', 'ms', '--green'], ['late', 'lateness of snapshots', 'ms', '--amber'],
]

function drawPlots(color) {
  const [g, w, h] = surface($('plot')), row = h / plots.length, now = performance.now()
  const x = t => w - (now - t) / shown * w
  g.font = '12px system-ui, sans-serif'
  plots.forEach(([field, title, unit, tint], i) => {
    const points = clock.points.filter(p => p[field] !== null && p.t > now - shown)
    const sorted = points.map(p => p[field]).sort((a, b) => a - b), quantile = q => sorted[Math.floor(q * (sorted.length - 1))] ?? 0
    const top = Math.max(quantile(1) * 1.15, unit === '%' ? 5 : 2), bottom = (i + 1) * row - 8, height = row - 30
    const y = v => bottom - Math.max(v, 0) / top * height
    g.strokeStyle = color('--line')
    g.lineWidth = 1
    g.beginPath(); g.moveTo(0, bottom + 0.5); g.lineTo(w, bottom + 0.5); g.stroke()
    g.strokeStyle = g.fillStyle = color(tint)
    g.lineWidth = 1.5
    g.beginPath()
    for (const p of points) g.lineTo(x(p.t), y(p[field]))
    g.stroke()
    g.textAlign = 'left'
    g.fillText(title, 0, i * row + 13)
    g.textAlign = 'right'
    g.fillStyle = color('--ink')
    const f = v => v.toFixed(v < 10 ? 1 : 0)
    if (sorted.length) g.fillText(unit === '%' ? f(points.at(-1).loss) + ' %' : 'p50 ' + f(quantile(0.5)) + ', p99 ' + f(quantile(0.99)) + ' ms', w, i * row + 13)
  })
  $('plot').dataset.points = clock.points.length
}

function draw() {
  const css = getComputedStyle(document.documentElement), color = name => css.getPropertyValue(name)
  drawField(color)
  drawPlots(color)
  $('facts').textContent = game.id ? `${name} · ${game.players.size} others in sight · ${game.have} coins` : ''
  requestAnimationFrame(draw)
}

draw()
stay()
