"use strict";
// The Gantt chart: one row a pipeline rank, time to the right, drawn on a canvas because a step has thousands of blocks.
// The numbers are those of the schedule's own evaluation or of the simulation (reports/timeline.cpp); nothing is timed
// here. Charts that share a `view` zoom and pan together.

// About so many multiples of 1, 2 or 5 times a power of ten.
function round_ticks(from, to, count) {
  const wanted = (to - from) / count, power = 10 ** Math.floor(Math.log10(wanted));
  const step = power * [1, 2, 5, 10].find((factor) => factor * power >= wanted * 0.99);
  const first = Math.ceil(from / step - 1e-9), last = Math.floor(to / step + 1e-9);
  return Array.from({length: Math.max(0, last - first + 1)}, (_, i) => (first + i) * step);
}

class Gantt {
  constructor(host, timeline, {view, title = "", explain = () => []} = {}) {
    this.timeline = timeline;
    this.explain = explain;
    this.blocks = decoded(timeline);
    this.detailed = timeline.patterns !== undefined;
    this.rank = this.detailed ? (doc.slowest_rank || 0) : 0;
    this.spans = new Map();
    this.widths = new Map();
    this.focus = null;
    this.view = view || {x0: 0, x1: timeline.makespan, full: timeline.makespan, charts: []};
    this.view.charts.push(this);
    this.canvas = element("canvas", {tabindex: 0, role: "application", "aria-roledescription": "Gantt chart",
      "aria-label": `${title} timeline of ${this.blocks.length} pipeline ranks. Arrow keys walk through the blocks, plus and minus zoom, shift with arrows pans, 0 shows all.`});
    this.tip = element("div", {class: "tip", "aria-hidden": "true"});
    this.detail = element("div", {class: "detail", "aria-live": "polite"}, this.view.charts.length > 1 ? "" : element("span", {class: "hint"}, "Point at a block, or walk with the arrow keys."));
    this.frame = element("div", {class: "gantt"}, this.canvas, this.tip);
    host.append(this.frame, this.detail);
    this.listen();
    drawn(this.frame, (width) => this.draw(width), false);
    gantts.push(this);
  }

  // Geometry, in CSS pixels; letters and rows grow with the page.
  measure(width) {
    const s = scale();
    this.width = width;
    this.size = s;
    this.left = Math.round(56 * s);
    this.axis = Math.round(20 * s);
    this.lane = Math.round(13 * s);
    this.row = Math.round((this.blocks.length > 48 ? 9 : this.blocks.length > 24 ? 13 : 20) * s);
  }
  // Streams that are drawn: the three that every step has, and others where something runs on them.
  lanes_shown() {
    if (!this.lane_rows) {
      const seen = new Set([1, 2, 3]);
      for (const flat of [...(this.timeline.patterns || []), ...this.timeline.ranks.map((rank) => rank.loose || [])]) {
        for (let i = 0; i < flat.length; i += 4) seen.add(flat[i]);
      }
      this.lane_rows = [...seen].sort();
    }
    return this.lane_rows;
  }
  top(rank) { return this.axis + rank * this.row + (this.detailed && rank > this.rank ? this.lanes_shown().length * this.lane + 4 : 0); }
  height() { return this.axis + this.blocks.length * this.row + (this.detailed ? this.lanes_shown().length * this.lane + 4 : 0) + 2; }
  x(time) { return this.left + ((time - this.view.x0) / (this.view.x1 - this.view.x0)) * (this.width - this.left - 6); }
  time(x) { return this.view.x0 + ((x - this.left) / (this.width - this.left - 6)) * (this.view.x1 - this.view.x0); }
  font(points) { return `${points * this.size}px system-ui, sans-serif`; }
  // Sets the font; the width of a text is measured once.
  text_width(c, text, points) {
    const font = this.font(points), key = `${font} ${text}`;
    if (this.last_font !== font) c.font = this.last_font = font;
    if (!this.widths.has(key)) this.widths.set(key, c.measureText(text).width);
    return this.widths.get(key);
  }
  light(stage, mb) {
    const t = this.timeline;
    return t.directions === 2 ? mb >= t.micro_batches / 2 : stage >= t.pipeline_ranks;
  }
  // Where a block is, in CSS pixels of the canvas: for tests and the tip.
  rect(rank, i) {
    const block = this.blocks[rank][i];
    return {x: this.x(block.start), y: this.top(rank), width: this.x(block.end) - this.x(block.start), height: this.row - 2};
  }
  spans_of_rank(rank) {
    if (!this.spans.has(rank)) this.spans.set(rank, spans_of(this.timeline, this.blocks[rank], rank));
    return this.spans.get(rank);
  }

  // Drawing.
  draw(width = this.width) {
    if (!width) return;
    this.measure(width);
    const ratio = on_paper ? 3 : devicePixelRatio || 1, height = this.height();
    this.canvas.width = Math.round(width * ratio);
    this.canvas.height = Math.round(height * ratio);
    this.canvas.style.height = `${height}px`;
    const c = this.canvas.getContext("2d");
    c.setTransform(ratio, 0, 0, ratio, 0, 0);
    c.font = this.font(11);
    this.fill = fills(c);
    this.ticks(c, height);
    c.save();
    c.beginPath();
    c.rect(this.left, 0, width - this.left - 5, height);
    c.clip();
    this.last_font = "";
    for (let rank = 0; rank < this.blocks.length; ++rank) this.row_of(c, rank);
    if (this.detailed) this.lanes(c);
    this.critical(c);
    this.outline(c);
    c.restore();
    this.labels(c);
  }
  ticks(c, height) {
    const unit = this.timeline.unit, span = this.view.x1 - this.view.x0;
    const [factor, name] = unit !== "ns" ? [1, unit ? ` ${unit}` : ""] : span > 2e9 ? [1e9, " s"] : span > 2e6 ? [1e6, " ms"] : [1e3, " µs"];
    c.strokeStyle = colour("--line");
    c.fillStyle = colour("--soft");
    c.textAlign = "center";
    c.textBaseline = "middle";
    for (const tick of round_ticks(this.view.x0 / factor, this.view.x1 / factor, Math.max(2, Math.floor(this.width / (110 * this.size))))) {
      const x = Math.round(this.x(tick * factor)) + 0.5;
      c.beginPath();
      c.moveTo(x, this.axis - 4);
      c.lineTo(x, height);
      c.stroke();
      c.fillText(`${Number(tick.toPrecision(10))}${name}`, Math.min(x, this.width - 28 * this.size), this.axis / 2 - 1);
    }
  }
  row_of(c, rank) {
    const y = this.top(rank), end = this.x(this.timeline.makespan);
    c.fillStyle = colour("--idle");
    c.fillRect(this.x(0), y, end - this.x(0), this.row - 2);
    for (const block of this.blocks[rank]) {
      if (block.end < this.view.x0) continue;
      if (block.start > this.view.x1) break;
      this.block(c, block, y);
    }
  }
  block(c, block, y) {
    const x = this.x(block.start), width = Math.max(this.x(block.end) - x - (this.x(block.end) - x > 3 ? 0.6 : 0), 0.4), height = this.row - 2;
    if (block.kind !== PAIR) return this.box(c, block.kind, block.stage, block.mb, x, y, width, height);
    this.box(c, FORWARD, block.stage, block.mb, x, y, width, height / 2);
    this.box(c, FULL, block.bstage, block.bmb, x, y + height / 2, width, height / 2);
  }
  box(c, kind, stage, mb, x, y, width, height) {
    const light = this.light(stage, mb);
    c.fillStyle = this.fill(kind_colours[kind], width > 9 * this.size ? kind_hatches[kind] : "", light);
    c.fillRect(x, y, width, height);
    const size = Math.min(11, height / this.size + (height < 10 * this.size ? 0.5 : -2));
    if (size < 8 || width < 6) return;
    const seen_x = Math.max(x, this.left), seen = Math.min(x + width, this.width - 6) - seen_x;
    const texts = [];
    for (const [text, points] of [[`${letters[kind]} ${mb}`, size], [String(mb), size], [String(mb), 9]]) {
      if (this.text_width(c, text, points) < seen - (text.length > 3 ? 2 : 0.5)) {
        texts.push(text);
        break;
      }
    }
    if (texts.length === 0) return;
    c.fillStyle = light ? colour("--ink") : colour(`--on-${kind_colours[kind]}`);
    c.textAlign = "center";
    c.fillText(texts[0], seen_x + seen / 2, y + height / 2 + 0.5);
  }
  lanes(c) {
    const y0 = this.top(this.rank) + this.row;
    const colours = {F: "forward", B: "input", W: "weight"};
    c.font = this.font(10);
    for (const span of this.spans_of_rank(this.rank)) {
      if (span.end < this.view.x0 || span.lane === 0) continue;
      if (span.start > this.view.x1) break;
      const pass = span.name.endsWith(")") ? span.name.at(-2) : "";
      const x = this.x(span.start), width = Math.max(this.x(span.end) - x - 0.3, 0.4), y = y0 + this.lane_rows.indexOf(span.lane) * this.lane;
      c.fillStyle = this.fill(colours[pass] || "optimizer", span.lane > 1 && width > 6 ? "rising" : "", span.lane > 2);
      c.fillRect(x, y, width, this.lane - 1);
      const seen_x = Math.max(x, this.left), seen = Math.min(x + width, this.width - 6) - seen_x;
      if (seen < 24 || c.measureText(span.name).width > seen - 4) continue;
      c.fillStyle = span.lane > 2 ? colour("--ink") : colours[pass] ? colour(`--on-${colours[pass]}`) : colour("--ink");
      c.textAlign = "center";
      c.fillText(span.name, seen_x + seen / 2, y + this.lane / 2);
    }
  }
  // The critical path, where the data has it: flat [rank, start, duration, ...].
  critical(c) {
    const flat = this.timeline.critical || [];
    c.fillStyle = colour("--critical");
    for (let i = 0; i < flat.length; i += 3) {
      const x = this.x(flat[i + 1]);
      c.fillRect(x, this.top(flat[i]) + this.row - 4.5, Math.max(this.x(flat[i + 1] + flat[i + 2]) - x, 0.6), 2.5);
    }
  }
  outline(c) {
    if (!this.focus) return;
    const x = this.x(this.focus.start), y = this.top(this.focus.rank);
    c.strokeStyle = colour("--ink");
    c.lineWidth = 2;
    c.strokeRect(x, y - 0.5, Math.max(this.x(this.focus.end) - x, 2), this.row - 1);
    c.lineWidth = 1;
  }
  labels(c) {
    c.font = this.font(11);
    c.textAlign = "right";
    const every = this.row >= 12 * this.size ? 1 : Math.ceil((12 * this.size) / this.row);
    for (let rank = 0; rank < this.blocks.length; ++rank) {
      if (rank % every !== 0 && rank !== this.rank) continue;
      c.fillStyle = colour(this.detailed && rank === this.rank ? "--ink" : "--soft");
      c.fillText(`rank ${rank}`, this.left - 6, this.top(rank) + this.row / 2 - 1);
    }
    if (!this.detailed) return;
    c.fillStyle = colour("--soft");
    c.font = this.font(10);
    this.lanes_shown().forEach((lane, i) => c.fillText(lane_labels[lane], this.left - 6, this.top(this.rank) + this.row + i * this.lane + this.lane / 2));
  }

  // Zoom and pan.
  zoom(factor, centre = (this.view.x0 + this.view.x1) / 2) {
    const v = this.view, span = Math.min(v.full, Math.max(v.full * 1e-6, (v.x1 - v.x0) / factor));
    const share = (centre - v.x0) / (v.x1 - v.x0);
    this.show(centre - share * span, span);
  }
  pan(time) { this.show(this.view.x0 + time, this.view.x1 - this.view.x0); }
  show(x0, span) {
    const v = this.view;
    v.x0 = Math.min(Math.max(0, x0), v.full - span);
    v.x1 = v.x0 + span;
    this.again();
  }
  all() { this.show(0, this.view.full); }
  again() {
    if (this.view.pending) return;
    this.view.pending = true;
    requestAnimationFrame(() => {
      this.view.pending = false;
      for (const chart of this.view.charts) chart.draw();
    });
  }

  // What is where.
  find(x, y) {
    const time = this.time(x);
    if (x < this.left) return null;
    const lanes_top = this.top(this.rank) + this.row;
    if (this.detailed && y >= lanes_top && y < lanes_top + this.lanes_shown().length * this.lane) {
      const lane = this.lane_rows[Math.floor((y - lanes_top) / this.lane)];
      return this.spans_of_rank(this.rank).find((span) => span.lane === lane && span.start <= time && time < span.end) || null;
    }
    for (let rank = 0; rank < this.blocks.length; ++rank) {
      if (y < this.top(rank) || y >= this.top(rank) + this.row) continue;
      return this.blocks[rank].find((block) => block.start <= time && time < block.end) || {idle: true, rank, at: time};
    }
    return null;
  }
  idle_around(rank, time) {
    const before = this.blocks[rank].filter((b) => b.end <= time).reduce((most, b) => Math.max(most, b.end), 0);
    const after = this.blocks[rank].find((b) => b.start > time);
    return {start: before, end: after ? after.start : this.timeline.makespan};
  }
  text_of(what) {
    const unit = this.timeline.unit;
    if (what.idle) {
      const gap = this.idle_around(what.rank, what.at);
      return `rank ${what.rank}: no block for ${time_text(gap.end - gap.start, unit)}`;
    }
    const name = what.kind === undefined ? `${what.name}, ${lane_names[what.lane]}` : block_name(what);
    return `${name}\nrank ${what.rank}, ${time_text(what.end - what.start, unit)} from ${time_text(what.start, unit)}`;
  }
  describe(what) {
    const unit = this.timeline.unit;
    this.detail.replaceChildren();
    if (!what) return;
    if (what.idle) return this.detail.append(this.text_of(what));
    const block = what.kind === undefined ? what.block : what;
    const where = `rank ${what.rank}, from ${time_text(what.start, unit)} to ${time_text(what.end, unit)}`;
    if (what.kind !== undefined) {
      this.detail.append(element("strong", {}, block_name(what)), ` ${kind_names[what.kind]}, stage ${what.stage}` +
        (what.kind === PAIR ? ` and ${what.bstage}` : "") + `, ${time_text(what.end - what.start, unit)}: ${where}`);
    } else {
      this.detail.append(element("strong", {}, what.name), ` on the ${lane_names[what.lane]}, ${time_text(what.end - what.start, unit)}: ${where}` + (block ? `, in ${block_name(block)}` : ""));
    }
    const more = this.explain(what, this);
    if (more) this.detail.append(more);
  }
  select(block, keep_in_view) {
    this.focus = block;
    if (block.rank !== this.rank) this.rank = block.rank;
    const v = this.view, span = v.x1 - v.x0;
    if (keep_in_view && (block.start < v.x0 || block.end > v.x1)) this.show((block.start + block.end) / 2 - span / 2, span);
    this.describe(block);
    this.again();
    if (this.changed) this.changed(this.rank);
  }

  // Pointer, wheel, keys.
  listen() {
    const fingers = new Map();
    let moved = 0;
    const canvas = this.canvas;
    const place = (event) => {
      const box = canvas.getBoundingClientRect();
      return [event.clientX - box.left, event.clientY - box.top];
    };
    canvas.addEventListener("pointerdown", (event) => {
      fingers.set(event.pointerId, place(event));
      moved = 0;
      canvas.setPointerCapture(event.pointerId);
    });
    canvas.addEventListener("pointermove", (event) => {
      const now = place(event), before = fingers.get(event.pointerId);
      if (!before) return this.hover(now);
      const per_pixel = (this.view.x1 - this.view.x0) / (this.width - this.left - 6);
      moved += Math.abs(now[0] - before[0]) + Math.abs(now[1] - before[1]);
      if (fingers.size === 2) {
        const other = [...fingers].find(([id]) => id !== event.pointerId)[1];
        const distance = Math.abs(before[0] - other[0]), wanted = Math.abs(now[0] - other[0]);
        if (distance > 5 && wanted > 5) this.zoom(wanted / distance, this.time((now[0] + other[0]) / 2));
      } else {
        canvas.classList.add("dragging");
        this.pan((before[0] - now[0]) * per_pixel);
      }
      fingers.set(event.pointerId, now);
    });
    const lift = (event) => {
      if (event.type === "pointerup" && moved < 5 && fingers.has(event.pointerId)) this.click(place(event));
      fingers.delete(event.pointerId);
      canvas.classList.remove("dragging");
    };
    canvas.addEventListener("pointerup", lift);
    canvas.addEventListener("pointercancel", lift);
    canvas.addEventListener("pointerleave", () => { this.tip.style.display = "none"; });
    canvas.addEventListener("dblclick", (event) => this.zoom(event.shiftKey ? 0.4 : 2.5, this.time(place(event)[0])));
    canvas.addEventListener("wheel", (event) => {
      if (event.ctrlKey || event.metaKey) {
        event.preventDefault();
        this.zoom(Math.exp(-event.deltaY * 0.004), this.time(place(event)[0]));
      } else if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) {
        event.preventDefault();
        this.pan(((event.deltaX || event.deltaY) / this.width) * (this.view.x1 - this.view.x0));
      }
    }, {passive: false});
    canvas.addEventListener("keydown", (event) => this.key(event));
  }
  hover([x, y]) {
    const what = this.find(x, y);
    this.tip.style.display = what ? "block" : "none";
    if (!what) return;
    this.tip.textContent = this.text_of(what);
    this.tip.style.left = `${Math.max(0, Math.min(x + 12, this.width - this.tip.offsetWidth - 4))}px`;
    this.tip.style.top = `${y + 16}px`;
    this.describe(what);
  }
  click([x, y]) {
    const what = this.find(x, y);
    if (what && what.kind !== undefined) return this.select(what);
    if (what) this.describe(what);
    for (let rank = 0; rank < this.blocks.length; ++rank) {
      if (y >= this.top(rank) && y < this.top(rank) + this.row) this.choose(rank);
    }
  }
  choose(rank) {
    this.rank = rank;
    this.again();
    if (this.changed) this.changed(rank);
  }
  key(event) {
    const blocks = this.blocks[this.rank], span = this.view.x1 - this.view.x0;
    const here = this.focus && this.focus.rank === this.rank ? blocks.indexOf(this.focus) : -1;
    const nearest = (rank) => {
      const time = this.focus ? this.focus.start : this.view.x0;
      return this.blocks[rank].find((block) => block.end > time) || this.blocks[rank].at(-1);
    };
    const steps = {
      ArrowRight: () => (event.shiftKey ? this.pan(span / 8) : blocks.length && this.select(blocks[Math.min(here + 1, blocks.length - 1)], true)),
      ArrowLeft: () => (event.shiftKey ? this.pan(-span / 8) : blocks.length && this.select(blocks[Math.max(here - 1, 0)], true)),
      ArrowDown: () => this.rank + 1 < this.blocks.length && this.select(nearest(this.rank + 1), true),
      ArrowUp: () => this.rank > 0 && this.select(nearest(this.rank - 1), true),
      "+": () => this.zoom(1.6, this.focus ? (this.focus.start + this.focus.end) / 2 : undefined),
      "-": () => this.zoom(1 / 1.6, this.focus ? (this.focus.start + this.focus.end) / 2 : undefined),
      "0": () => this.all(),
      Home: () => blocks.length && this.select(blocks[0], true),
      End: () => blocks.length && this.select(blocks.at(-1), true),
      Enter: () => this.focus && this.show(this.focus.start - (this.focus.end - this.focus.start), 3 * (this.focus.end - this.focus.start)),
      Escape: () => { this.focus = null; this.all(); },
    };
    steps["="] = steps["+"];
    if (!steps[event.key] || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    this.tip.style.display = "none";
    steps[event.key]();
  }
}
