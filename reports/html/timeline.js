"use strict";
// Timelines as reports/timeline.cpp writes them, read back; how their blocks are named, coloured and hatched; and what
// stands around a Gantt chart.

const letters = ["F", "B", "W", "BW", "F&B"];
const kind_names = ["forward", "backward for the input", "backward for the weights", "full backward", "overlapped forward and backward"];
const kind_colours = ["forward", "input", "weight", "full", "full"];
const kind_hatches = ["", "", "rising", "level", "level"];
const lane_names = ["schedule", "compute stream", "communication stream", "point-to-point stream", "gradient stream", "host"];
const lane_labels = ["", "compute", "comm", "p2p", "grads", "host"];
const FORWARD = 0, FULL = 3, PAIR = 4;
const gantts = [];

// Actions of every rank as objects, in order of time.
const decoded_before = new WeakMap();
function decoded(timeline) {
  if (!decoded_before.has(timeline)) decoded_before.set(timeline, decode(timeline));
  return decoded_before.get(timeline);
}
function decode(timeline) {
  return timeline.ranks.map((rank, r) => {
    const blocks = [];
    for (let i = 0; i < rank.actions.length; i += 8) {
      const [kind, stage, mb, bstage, bmb, start, length, pattern] = rank.actions.slice(i, i + 8);
      blocks.push({rank: r, kind, stage, mb, bstage, bmb, start, end: start + length, pattern});
    }
    return blocks;
  });
}

// The spans inside the actions of a rank, and those outside, in order of time.
function spans_of(timeline, blocks, rank) {
  const spans = [];
  const take = (flat, from, block) => {
    for (let i = 0; i < flat.length; i += 4) {
      spans.push({rank, block, lane: flat[i], name: timeline.names[flat[i + 1]], cls: timeline.classes[flat[i + 1]],
        start: from + flat[i + 2], end: from + flat[i + 2] + flat[i + 3]});
    }
  };
  for (const block of blocks) if (block.pattern >= 0) take(timeline.patterns[block.pattern], block.start, block);
  take(timeline.ranks[rank].loose || [], 0, null);
  return spans.sort((a, b) => a.start - b.start);
}

function time_text(value, unit) {
  if (unit === "ns") return shown(value * 1e-9, seconds_unit(value * 1e-9));
  return significant(value) + (unit ? ` ${unit}` : "");
}

function block_name(block) {
  return block.kind === PAIR ? `F ${block.mb} & BW ${block.bmb}` : `${letters[block.kind]} ${block.mb}`;
}

function hatched(context, kind, base, ink) {
  const tile = document.createElement("canvas");
  tile.width = tile.height = 6;
  const pen = tile.getContext("2d");
  pen.fillStyle = base;
  pen.fillRect(0, 0, 6, 6);
  pen.strokeStyle = ink;
  pen.globalAlpha = 0.35;
  pen.beginPath();
  if (kind === "rising") for (const shift of [-6, 0, 6]) { pen.moveTo(shift, 6); pen.lineTo(shift + 6, 0); }
  else { pen.moveTo(0, 3.5); pen.lineTo(6, 3.5); }
  pen.stroke();
  return context.createPattern(tile, "repeat");
}

// Fills of one drawing: by colour's name, hatch and shade.
function fills(context) {
  const known = new Map();
  return (name, hatch, light) => {
    const key = `${name} ${hatch} ${light}`;
    if (!known.has(key)) {
      const base = light ? mixed(colour("--card"), colour(`--${name}`), 0.55) : colour(`--${name}`);
      known.set(key, hatch ? hatched(context, hatch, base, colour("--ink")) : base);
    }
    return known.get(key);
  };
}


function gantt_tools(chart) {
  const button = (label, name, act) => element("button", {type: "button", "aria-label": name, title: name, onclick: act}, label);
  return element("div", {class: "tools"}, button("+", "zoom in", () => chart.zoom(1.6)), button("−", "zoom out", () => chart.zoom(1 / 1.6)),
    button("◂", "earlier", () => chart.pan(-(chart.view.x1 - chart.view.x0) / 4)), button("▸", "later", () => chart.pan((chart.view.x1 - chart.view.x0) / 4)),
    button("all", "show all", () => chart.all()),
    element("span", {class: "hint"}, "drag to pan; ctrl and wheel, pinch or double-click to zoom; arrow keys, + and − on the focused chart"));
}

function gantt_legend(timelines) {
  const used = new Set(timelines.flatMap((timeline) => decoded(timeline).flat().flatMap((b) => (b.kind === PAIR ? [FORWARD, FULL] : [b.kind]))));
  const list = element("ul", {class: "legend"});
  const sample = (label, fill) => {
    const canvas = element("canvas", {width: 42, height: 26, "aria-hidden": "true"});
    const paint = () => {
      const c = canvas.getContext("2d");
      c.fillStyle = fill(fills(c));
      c.fillRect(0, 0, 42, 26);
    };
    redraws.push(paint);
    paint();
    list.append(element("li", {}, canvas, label));
  };
  for (const kind of [...used].sort()) sample(`${letters[kind]} ${kind_names[kind]}`, (fill) => fill(kind_colours[kind], kind_hatches[kind], false));
  if (timelines.some((t) => t.directions === 2 || t.ranks.length < Math.max(...decoded(t).flat().map((b) => b.stage + 1)))) {
    sample("lighter: second direction, or a later stage of the rank", (fill) => fill("forward", "", true));
  }
  sample("no block", () => colour("--idle"));
  if (timelines.some((t) => t.critical)) sample("underlined: on the critical path", () => colour("--critical"));
  return list;
}
