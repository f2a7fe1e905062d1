'use strict';
(() => {
  // Everything that comes from a log is shown as text, never as markup.
  const data = JSON.parse(document.getElementById('data').textContent)
  const $ = id => document.getElementById(id)
  const make = (tag, parent, text, cls) => {
    const e = document.createElement(tag)
    if (text !== undefined) e.textContent = text
    if (cls) e.className = cls
    parent.append(e)
    return e
  }

  // Curves hold absolute times on the common axis, in µs.
  for (const t of data.traces) {
    for (const c of Object.values(t.curves)) {
      let at = 0
      c.at = c.t.map(d => (at += d))
      if (c.w) c.at = c.at.map(i => i * c.w)
      c.at = c.at.map(x => x + t.offset)
    }
    for (const list of [t.details, t.steps, t.marks]) for (const e of list || []) e.t += t.offset
    t.details = t.details || []
    t.marks = t.marks || []
    t.streams = t.streams || []
    for (const s of t.streams) {
      for (const k of ['open', 'sent', 'received', 'end', 'last']) if (s[k] >= 0) s[k] += t.offset
      s.stalls = (s.stalls || []).map(([a, b]) => [a + t.offset, b + t.offset])
    }
    t.waiting.spans = (t.waiting.spans || []).map(([a, b, c]) => [a + t.offset, b + t.offset, c])
    t.begin = t.from + t.offset
    t.finish = t.to + t.offset
  }
  const full = {
    from: Math.min(...data.traces.map(t => t.begin)),
    to: Math.max(...data.traces.map(t => t.finish), Math.min(...data.traces.map(t => t.begin)) + 1000),
  }
  const view = { from: full.from, to: full.to }

  const ms = us => us >= 1e6 ? (us / 1e6).toFixed(3) + ' s' : (us / 1e3).toFixed(us < 1e4 ? 3 : 1) + ' ms'
  const bytes = n => n >= 1e6 ? (n / 1e6).toFixed(2) + ' MB' : n >= 1e3 ? (n / 1e3).toFixed(1) + ' kB' : n + ' B'
  const plain = n => n.toLocaleString('en')

  let color = {}
  function readColors() {
    const style = getComputedStyle(document.documentElement)
    for (const n of ['bg', 'fg', 'dim', 'line', 'soft', 'blue', 'green', 'red', 'orange', 'violet', 'grey', 'teal', 'yellow'])
      color[n] = style.getPropertyValue('--' + n).trim()
  }
  const causeColors = ['line', 'violet', 'grey', 'orange', 'red', 'blue', 'yellow']

  // The index of the last time that is not later than t, or -1.
  function indexAt(times, t) {
    let lo = 0, hi = times.length
    while (lo < hi) {
      const mid = (lo + hi) >> 1
      if (times[mid] <= t) lo = mid + 1; else hi = mid
    }
    return lo - 1
  }

  const LEFT = 66, RIGHT = 10
  const lanes = []

  // A lane is a canvas about one trace.
  class Lane {
    constructor(section, trace, height, title, labelled) {
      this.trace = trace
      this.height = height
      const box = make('div', section, undefined, 'lane')
      make('div', box, trace.label, 'name')
      this.canvas = make('canvas', box)
      this.canvas.tabIndex = 0
      this.canvas.setAttribute('role', 'img')
      this.canvas.setAttribute('aria-label', title + ', ' + trace.label + '. Arrow keys move, plus and minus zoom, shift with an arrow key reads values.')
      this.canvas.style.height = height + 'px'
      this.labelled = labelled
      lanes.push(this)
      listen(this)
    }
    x(t) { return LEFT + (t - view.from) / (view.to - view.from) * (this.w - LEFT - RIGHT) }
    t(x) { return view.from + (x - LEFT) / (this.w - LEFT - RIGHT) * (view.to - view.from) }
    paint() {
      const ratio = window.devicePixelRatio || 1
      this.w = this.canvas.clientWidth
      this.h = this.height
      const w = Math.round(this.w * ratio), h = Math.round(this.h * ratio)
      if (this.canvas.width !== w || this.canvas.height !== h) { this.canvas.width = w; this.canvas.height = h }
      const g = this.g = this.canvas.getContext('2d')
      g.setTransform(ratio, 0, 0, ratio, 0, 0)
      g.fillStyle = color.bg
      g.fillRect(0, 0, this.w, this.h)
      g.font = '11px system-ui, sans-serif'
      this.bottom = this.labelled ? this.h - 16 : this.h
      this.grid()
      g.save()
      g.beginPath()
      g.rect(LEFT, 0, this.w - LEFT - RIGHT, this.bottom)
      g.clip()
      this.draw(g)
      g.restore()
    }
    grid() {
      const g = this.g, span = view.to - view.from
      let step = 1
      for (const f of cycle([2, 2.5, 2])) { if (span / step <= 10) break; step *= f }
      g.strokeStyle = color.line
      g.fillStyle = color.dim
      g.lineWidth = 0.5
      g.textAlign = 'center'
      for (let t = Math.ceil(view.from / step) * step; t <= view.to; t += step) {
        const x = this.x(t)
        g.beginPath(); g.moveTo(x, 0); g.lineTo(x, this.bottom); g.stroke()
        if (this.labelled) g.fillText(tick(t, step), Math.min(x, this.w - 24), this.h - 3)
      }
    }
    // scale draws the labels of the axis from low to high, and sets y.
    scale(low, high, name) {
      const g = this.g
      if (!(high > low)) high = low + 1
      const pad = 6
      this.y = v => this.bottom - pad - (v - low) / (high - low) * (this.bottom - 2 * pad)
      g.restore() // the labels stand beside the plot
      g.textAlign = 'right'
      for (const part of [0, 0.5, 1]) {
        const v = low + part * (high - low), y = this.y(v)
        g.fillStyle = color.dim
        g.fillText(name(v), LEFT - 5, Math.min(Math.max(y + 4, 10), this.bottom))
        g.strokeStyle = color.line
        g.beginPath(); g.moveTo(LEFT, y); g.lineTo(this.w - RIGHT, y); g.stroke()
      }
      g.save()
      g.beginPath()
      g.rect(LEFT, 0, this.w - LEFT - RIGHT, this.bottom)
      g.clip()
    }
    // range returns the least and the greatest value of curves in the view.
    range(curves) {
      let low = Infinity, high = -Infinity
      for (const c of curves) {
        for (let i = Math.max(indexAt(c.at, view.from), 0); i < c.at.length && c.at[i] <= view.to; i++) {
          low = Math.min(low, c.w ? c.min[i] : c.v[i])
          high = Math.max(high, c.w ? c.max[i] : c.v[i])
        }
      }
      return low <= high ? [low, high] : [0, 1]
    }
    dots(c, col, size, shape) {
      const g = this.g
      g.fillStyle = g.strokeStyle = col
      g.lineWidth = 1.5
      const wide = Math.max(c.w / (view.to - view.from) * (this.w - LEFT - RIGHT), 1.5)
      for (let i = Math.max(indexAt(c.at, view.from), 0); i < c.at.length && c.at[i] <= view.to; i++) {
        const x = this.x(c.at[i])
        if (c.w) {
          const top = this.y(c.max[i])
          g.fillRect(x, top - 0.75, wide, Math.max(this.y(c.min[i]) - top, 1.5))
        } else if (shape === 'cross') {
          const y = this.y(c.v[i])
          g.beginPath(); g.moveTo(x - size, y - size); g.lineTo(x + size, y + size); g.moveTo(x - size, y + size); g.lineTo(x + size, y - size); g.stroke()
        } else {
          g.fillRect(x - size / 2, this.y(c.v[i]) - size / 2, size, size)
        }
      }
    }
    // steps draws values that each hold until the next one.
    steps(c, col, width, dash) {
      if (!c.at.length) return
      const g = this.g
      g.strokeStyle = col
      g.fillStyle = col
      g.lineWidth = width
      g.setLineDash(dash || [])
      g.beginPath()
      let i = Math.max(indexAt(c.at, view.from), 0), y = null
      for (; i < c.at.length; i++) {
        const x = this.x(c.at[i])
        if (y === null) g.moveTo(Math.max(x, LEFT - 5), this.y(c.v[i])); else g.lineTo(x, y)
        y = this.y(c.v[i])
        g.lineTo(x, y)
        if (c.w) { g.moveTo(x, this.y(c.min[i])); g.lineTo(x, this.y(c.max[i])); g.moveTo(x, y) }
        if (c.at[i] > view.to) break
      }
      if (i === c.at.length) g.lineTo(this.x(this.trace.finish), y)
      g.stroke()
      g.setLineDash([])
    }
  }
  function * cycle(list) { for (;;) yield * list }
  const tick = (t, step) => step >= 1e6 ? (t / 1e6).toFixed(0) + ' s' : step >= 1e5 ? (t / 1e6).toFixed(1) + ' s'
    : step >= 1e3 ? (t / 1e3).toFixed(0) + ' ms' : step >= 100 ? (t / 1e3).toFixed(1) + ' ms' : (t / 1e3).toFixed(3) + ' ms'

  const near = (c, t) => { const i = indexAt(c.at, t); return i < 0 ? undefined : c.v[i] }

  class Packets extends Lane {
    draw() {
      const c = this.trace.curves
      const [low, high] = this.range([c.sent, c.received, c.lost, c.acked])
      this.scale(low, high, v => plain(Math.round(v)))
      this.steps(c.acked, color.grey, 1)
      this.dots(c.received, color.teal, 2)
      this.dots(c.sent, color.blue, 2.5)
      this.dots(c.lost, color.red, 3.5, 'cross')
    }
    read(t, y) {
      let best, least = 100
      for (const d of this.trace.details) {
        const dx = this.x(d.t) - this.x(t), dy = y === undefined ? 0 : this.y(Math.max(d.n, 0)) - y
        if (dx * dx + dy * dy < least) { least = dx * dx + dy * dy; best = d }
      }
      if (best) return ms(best.t) + ' ' + best.what + ': ' + best.text
      const lines = []
      for (const [name, c] of Object.entries({ sent: this.trace.curves.sent, received: this.trace.curves.received, lost: this.trace.curves.lost })) {
        const i = indexAt(c.at, t)
        if (i < 0) continue
        if (c.w && t < c.at[i] + c.w) lines.push(`${name}: ${plain(c.n[i])} packets, numbers ${plain(c.min[i])} to ${plain(c.max[i])}`)
        else if (!c.w) lines.push(`last ${name}: ${plain(c.v[i])}`)
      }
      return lines.join('\n')
    }
  }

  class Window extends Lane {
    draw() {
      const c = this.trace.curves
      const [, high] = this.range([c.window, c.inFlight])
      this.scale(0, high, bytes)
      this.steps(c.inFlight, color.blue, 1)
      this.steps(c.threshold, color.grey, 1, [4, 3])
      this.steps(c.window, color.orange, 1.5)
    }
    read(t) {
      const c = this.trace.curves, lines = []
      for (const [name, k] of [['window', c.window], ['in flight', c.inFlight], ['slow start threshold', c.threshold]]) {
        const v = near(k, t)
        if (v !== undefined) lines.push(name + ': ' + bytes(v))
      }
      return lines.join('\n')
    }
  }

  class RoundTrips extends Lane {
    draw() {
      const c = this.trace.curves
      const [, high] = this.range(c.latestRTT.at.length ? [c.latestRTT] : [c.smoothedRTT]) // before the first sample, smoothed is only a guess
      this.scale(0, high, ms)
      this.dots(c.latestRTT, color.teal, 2)
      this.steps(c.minRTT, color.grey, 1, [4, 3])
      this.steps(c.smoothedRTT, color.violet, 1.5)
    }
    read(t) {
      const c = this.trace.curves, lines = []
      for (const [name, k] of [['smoothed', c.smoothedRTT], ['latest', c.latestRTT], ['least', c.minRTT]]) {
        const v = near(k, t)
        if (v !== undefined) lines.push(name + ': ' + ms(v))
      }
      return lines.join('\n')
    }
  }

  class Waiting extends Lane {
    draw(g) {
      const q = this.trace.waiting
      const colors = causeColors.map(n => color[n])
      if (!q.w) {
        // Narrow spans in one column of pixels share it, so that none hides the others.
        const columns = new Map()
        for (const [a, b, c] of q.spans) {
          if (b < view.from || a > view.to) continue
          const from = Math.max(this.x(a), LEFT), to = this.x(b)
          if (to - from >= 2) { g.fillStyle = colors[c]; g.fillRect(from, 0, to - from, this.bottom); continue }
          const column = Math.floor(from)
          if (!columns.has(column)) columns.set(column, colors.map(() => 0))
          columns.get(column)[c] += b - a
        }
        for (const [x, shares] of columns) this.stack(x, 1, shares, colors)
        return
      }
      const wide = q.w / (view.to - view.from) * (this.w - LEFT - RIGHT)
      const columns = new Map()
      q.bins.forEach((shares, i) => {
        const at = i * q.w + this.trace.offset
        if (at + q.w < view.from || at > view.to) return
        if (wide >= 1) return this.stack(this.x(at), wide + 0.5, shares, colors)
        const x = Math.floor(this.x(at)), sum = columns.get(x)
        columns.set(x, sum ? sum.map((v, k) => v + shares[k]) : shares)
      })
      for (const [x, shares] of columns) this.stack(x, 1.5, shares, colors)
    }
    stack(x, w, shares, colors) {
      const sum = shares.reduce((a, b) => a + b)
      let y = 0
      shares.forEach((s, c) => {
        if (!s) return
        const h = s / sum * this.bottom
        this.g.fillStyle = colors[c]
        this.g.fillRect(x, y, w, h)
        y += h
      })
    }
    read(t) {
      const q = this.trace.waiting
      const s = q.spans.find(([a, b]) => a <= t && t < b)
      if (s) return data.causes[s[2]] + ', ' + ms(s[1] - s[0])
      const shares = q.w && q.bins[Math.floor((t - this.trace.offset) / q.w)]
      return shares ? shares.map((v, c) => v ? data.causes[c] + ': ' + ms(v) : '').filter(Boolean).join('\n') : ''
    }
  }

  class Streams extends Lane {
    draw(g) {
      this.rows = this.trace.streams.filter(s => s.open <= view.to && this.until(s) >= view.from)
      const h = this.row = Math.min(14, this.bottom / Math.max(this.rows.length, 1))
      const gap = h > 4 ? 1 : 0
      this.rows.forEach((s, i) => {
        const y = i * h, bar = (from, to, col, inset) => {
          g.fillStyle = col
          g.fillRect(this.x(from), y + inset, Math.max(this.x(to) - this.x(from), 1), Math.max(h - gap - 2 * inset, 0.5))
        }
        const firsts = [s.sent, s.received].filter(t => t >= 0)
        bar(s.open, this.until(s), color.line, 0)
        if (firsts.length) bar(Math.min(...firsts), this.until(s), s.received >= 0 && s.rx >= s.tx ? color.teal : color.blue, 0)
        for (const [a, b] of s.stalls) bar(a, b, color.red, h > 6 ? 2 : 0)
        if (h >= 11) {
          g.textAlign = 'left'
          g.fillStyle = color.fg
          g.fillText(s.id + ' ' + (s.label || ''), Math.max(this.x(s.open), LEFT) + 3, y + h - 3.5)
        }
      })
    }
    until(s) { return s.end >= 0 ? s.end : this.trace.finish }
    read(t, y) {
      const s = y === undefined ? this.rows.find(s => s.open <= t && t <= this.until(s)) : this.rows[Math.floor(y / this.row)]
      if (!s) return ''
      const lines = ['stream ' + s.id + (s.label ? ': ' + s.label : ''), 'opened at ' + ms(s.open)]
      if (s.sent >= 0) lines.push(`first byte sent at ${ms(s.sent)}, ${bytes(s.tx)}`)
      if (s.received >= 0) lines.push(`first byte received at ${ms(s.received)}, ${bytes(s.rx)}`)
      lines.push(s.end >= 0 ? 'ended at ' + ms(s.end) : 'did not end')
      if (s.blocked) lines.push('waited for its limit: ' + ms(s.blocked))
      return lines.join('\n')
    }
  }

  class Marks extends Lane {
    draw(g) {
      for (const [list, col] of [[this.trace.steps, color.violet], [this.trace.marks, color.orange]]) {
        g.fillStyle = col
        for (const m of list) if (m.t >= view.from && m.t <= view.to) g.fillRect(this.x(m.t) - 1, 2, 2, this.bottom - 4)
      }
    }
    read(t) {
      return [...this.trace.steps, ...this.trace.marks].filter(m => Math.abs(this.x(m.t) - this.x(t)) < 5)
        .slice(0, 12).map(m => ms(m.t) + ' ' + m.text).join('\n')
    }
  }

  let due = false
  function repaint() {
    if (due) return
    due = true
    requestAnimationFrame(() => {
      due = false
      for (const l of lanes) l.paint()
      $('range').textContent = `${ms(view.from)} to ${ms(view.to)}`
    })
  }
  // show sets the view. It keeps within the traces, and shows a microsecond at least.
  function show(from, to) {
    const span = Math.min(Math.max(to - from, 1), full.to - full.from)
    view.from = Math.min(Math.max(from, full.from), full.to - span)
    view.to = view.from + span
    hide()
    repaint()
  }
  const zoom = (factor, at) => {
    if (at === undefined) at = (view.from + view.to) / 2
    show(at - (at - view.from) * factor, at + (view.to - at) * factor)
  }
  const pan = part => { const d = part * (view.to - view.from); show(view.from + d, view.to + d) }
  const all = () => show(full.from, full.to)

  function hide() { $('tip').hidden = $('cross').hidden = true }
  function tell(lane, x, y) {
    const t = lane.t(x), box = lane.canvas.getBoundingClientRect()
    if (x < LEFT || x > lane.w - RIGHT) return hide()
    const lines = lane.read(t, y)
    $('tip').textContent = ms(t) + (lines ? '\n' + lines : '')
    $('tip').hidden = $('cross').hidden = false
    $('cross').style.left = box.left + x + 'px'
    const w = $('tip').offsetWidth, h = $('tip').offsetHeight
    $('tip').style.left = Math.max(Math.min(box.left + x + 14, innerWidth - w - 8), 4) + 'px'
    $('tip').style.top = Math.max(Math.min(box.top + (y === undefined ? 20 : y) + 14, innerHeight - h - 8), 4) + 'px'
  }

  function listen(lane) {
    const c = lane.canvas
    let drag = null, cursor = null
    c.addEventListener('wheel', e => {
      if (!e.ctrlKey && !e.metaKey && !e.shiftKey && !e.deltaX) return // the page scrolls
      e.preventDefault()
      if (e.ctrlKey || e.metaKey) zoom(Math.exp(Math.max(Math.min(e.deltaY, 300), -300) / 300), lane.t(e.offsetX))
      else pan((e.deltaX || e.deltaY) / 1000)
    }, { passive: false })
    c.addEventListener('pointerdown', e => {
      if (e.button) return
      drag = { x: e.offsetX, from: view.from, to: view.to }
      c.setPointerCapture(e.pointerId)
    })
    c.addEventListener('pointermove', e => {
      if (!drag) return tell(lane, e.offsetX, e.offsetY)
      const d = (drag.x - e.offsetX) / (lane.w - LEFT - RIGHT) * (drag.to - drag.from)
      show(drag.from + d, drag.to + d)
    })
    for (const end of ['pointerup', 'pointercancel']) c.addEventListener(end, () => { drag = null })
    c.addEventListener('pointerleave', hide)
    c.addEventListener('blur', hide)
    c.addEventListener('dblclick', e => zoom(e.shiftKey ? 3 : 1 / 3, lane.t(e.offsetX)))
    c.addEventListener('keydown', e => {
      if (e.shiftKey && (e.key === 'ArrowLeft' || e.key === 'ArrowRight')) {
        if (cursor === null) cursor = lane.w / 2
        cursor = Math.min(Math.max(cursor + (e.key === 'ArrowLeft' ? -5 : 5), LEFT), lane.w - RIGHT)
        tell(lane, cursor)
        e.preventDefault()
      }
    })
  }
  const keys = { '+': () => zoom(0.5), '=': () => zoom(0.5), '-': () => zoom(2), '0': all, Home: all,
    ArrowLeft: () => pan(-0.2), ArrowRight: () => pan(0.2), Escape: hide }
  document.addEventListener('keydown', e => {
    if (e.defaultPrevented || e.ctrlKey || e.metaKey || e.altKey || e.shiftKey && e.key !== '+') return
    if (e.key === 'Home' && document.activeElement.tagName !== 'CANVAS') return
    if (keys[e.key]) { keys[e.key](); e.preventDefault() }
  })
  $('zoom-in').onclick = keys['+']
  $('zoom-out').onclick = keys['-']
  $('left').onclick = keys.ArrowLeft
  $('right').onclick = keys.ArrowRight
  $('all').onclick = all

  function legend(section, entries) {
    const list = make('ul', section, undefined, 'legend')
    for (const [name, col] of entries) {
      const item = make('li', list)
      make('i', item).style.background = `var(--${col})`
      item.append(name)
    }
  }
  function section(title, entries, lane) {
    const s = make('section', $('main'))
    make('h2', s, title)
    legend(s, entries)
    for (const t of data.traces) lane(s, t)
  }

  function table(parent, caption, head, rows) {
    const box = make('div', parent)
    make('h2', box, caption)
    const t = make('table', make('div', box, undefined, 'scroll'))
    const tr = make('tr', make('thead', t))
    head.forEach((name, i) => { const th = make('th', tr, name, i && rows.length && typeof rows[0][i] === 'number' ? 'num' : ''); th.scope = 'col' })
    const body = make('tbody', t)
    for (const row of rows) {
      const tr = make('tr', body)
      for (const v of row) make('td', tr, typeof v === 'number' ? plain(v) : v, typeof v === 'number' ? 'num' : '')
    }
  }

  function build() {
    const names = data.traces.map((t, i) => 'ABCD'[i])
    data.traces.forEach((t, i) => {
      t.label = (data.traces.length > 1 ? names[i] + ': ' : '') + t.file + (t.vantage === 'unknown' ? '' : ', ' + t.vantage)
    })
    if (data.notes && data.notes.length) {
      const box = make('div', $('main'), undefined, 'notes')
      for (const n of data.notes) make('div', box, n)
    }
    table($('main'), 'Traces', ['trace', 'connection', 'begins', 'lasts', 'packets sent', 'received', 'lost', 'dropped', 'bytes sent', 'bytes received', 'streams', 'events'],
      data.traces.map(t => [t.label, t.group || '–', ms(t.begin), ms(t.finish - t.begin), t.counts.sent, t.counts.received, t.counts.lost, t.counts.dropped,
        t.counts.sentBytes, t.counts.receivedBytes, t.counts.streams, t.counts.events]))
    if (data.traces.length > 1) {
      make('div', $('main'), data.align === 'clock' ? 'The traces are aligned by their time of day.' : 'Each trace begins at 0.', 'dim')
    }

    section('What the data waited for', data.causes.map((name, i) => [name, causeColors[i]]), (s, t) => {
      new Waiting(s, t, 30, 'What the data waited for')
      const total = t.waiting.total.reduce((a, b) => a + b, 0)
      make('div', s, t.waiting.total.map((v, i) => v ? `${data.causes[i]} ${ms(v)} (${Math.round(100 * v / total)} %)` : '').filter(Boolean).join(', ') +
        (t.waiting.guessed ? '. This is a guess from packets, because the log does not say. It cannot tell pacing from an application with nothing to send.' : ''), 'name')
    })
    section('Packets by number', [['sent', 'blue'], ['received', 'teal'], ['lost', 'red'], ['acknowledged up to', 'grey']],
      (s, t) => new Packets(s, t, 200, 'Packets by number', true))
    section('Congestion window and bytes in flight', [['window', 'orange'], ['in flight', 'blue'], ['slow start threshold', 'grey']],
      (s, t) => new Window(s, t, 150, 'Congestion window and bytes in flight', true))
    section('Round trips', [['smoothed', 'violet'], ['latest', 'teal'], ['least', 'grey']], (s, t) => new RoundTrips(s, t, 120, 'Round trips', true))
    section('Streams', [['open', 'line'], ['mostly sends', 'blue'], ['mostly receives', 'teal'], ['waits for its limit', 'red']], (s, t) => {
      new Streams(s, t, Math.min(420, Math.max(40, t.streams.length * 14 + 16)), 'Streams', true)
      if (t.more) make('div', s, 'More streams are not shown.', 'name')
    })
    section('Handshake and changes', [['handshake', 'violet'], ['changes', 'orange']], (s, t) => new Marks(s, t, 24, 'Handshake and changes'))
    const columns = make('div', $('main'), undefined, 'columns')
    for (const t of data.traces) table(columns, 'Handshake, ' + t.label, ['time', 'step'], t.steps.map(e => [ms(e.t), e.text]))
    for (const t of data.traces) {
      if (t.marks.length) {
        const d = make('details', columns)
        make('summary', d, `Changes, ${t.label} (${t.marks.length + t.marksOut})`)
        table(d, 'Changes', ['time', 'what'], t.marks.slice(0, 200).map(e => [ms(e.t), e.text]))
      }
    }
  }

  readColors()
  build()
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => { readColors(); repaint() })
  addEventListener('resize', repaint)
  repaint()
})()
