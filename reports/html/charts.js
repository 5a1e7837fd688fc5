"use strict";
// The charts beside the Gantt, drawn by Observable Plot. Each takes rows of the document and a host to draw into.

// draw(width) gives what Plot made; it is made again when width or colours change.
function chart(host, draw) {
  const panel = host.closest("section");
  const frame = element("div", {class: "plot", role: "group", "aria-label": `chart: ${panel ? panel.getAttribute("aria-label") : ""}`});
  host.append(frame);
  drawn(frame, (width) => frame.replaceChildren(draw(width)));
  return frame;
}

const plot_style = () => ({background: "transparent", color: colour("--ink"), fontFamily: "inherit", fontSize: `${12 * scale()}px`});
const below = () => ({marginBottom: 44 * scale(), marginTop: 24 * scale()});
const foot = () => ({labelOffset: 38 * scale()});
const pipeline_rank = (row) => row.pipeline_rank;
const by_rank = (rows, width) => ({
  ...below(), marginLeft: 40 * scale(), marginRight: 18, width, height: scale() * Math.max(120, rows.length * Math.min(22, Math.max(9, 380 / rows.length)) + 66),
  y: {label: "rank", domain: rows.map(pipeline_rank), tickSize: 0, ticks: rows.length > 40 ? rows.map(pipeline_rank).filter((r) => r % 8 === 0) : undefined},
  style: plot_style(),
});

const time_parts = [["forward_s", "F forward", "--forward"], ["backward_s", "B backward", "--input"], ["weight_s", "W weights", "--weight"],
  ["overlapped_s", "F&B pairs", "--full"], ["optimizer_s", "update", "--optimizer"], ["bubble_s", "bubble", "--line"]];

// Where the time of each rank goes: the parts add up to the step.
function breakdown(host, ranks) {
  const rows = ranks.flatMap((rank) => time_parts.map(([key, part]) => ({pipeline_rank: rank.pipeline_rank, part, value: rank[key]})));
  const names = time_parts.map(([, part]) => part);
  chart(host, (width) => Plot.plot({
    ...by_rank(ranks, width),
    x: {...foot(), label: "seconds of the step", grid: true},
    color: {domain: [...names, "exposed communication"], range: [...time_parts.map(([, , name]) => colour(name)), colour("--exposed")], legend: true},
    marks: [
      Plot.barX(rows, {x: "value", y: "pipeline_rank", fill: "part", order: names, insetTop: 1, insetBottom: 1, stroke: colour("--card"), strokeWidth: 0.5,
        channels: {part: "part"}, tip: {format: {fill: false, x: (v) => `${fixed(v, 3)} s`}}}),
      Plot.barX(ranks, {x1: 0, x2: "exposed_communication_s", y: "pipeline_rank", fill: () => "exposed communication", insetTop: 7, insetBottom: 7}),
      Plot.ruleX([0]),
    ],
  }));
}

// Why ranks wait: the causes add up to the bubble.
function stacked_causes(host, ranks, keys) {
  const palette = ["--weight", "--forward", "--exposed", "--optimizer", "--full", "--soft", "--input"];
  const rows = ranks.flatMap((rank) => keys.map((key) => ({pipeline_rank: rank.pipeline_rank, cause: words(key), value: rank.idle[key]})));
  const causes = keys.map(words);
  chart(host, (width) => Plot.plot({
    ...by_rank(ranks, width),
    x: {...foot(), label: "seconds of the bubble", grid: true},
    color: {domain: causes, range: causes.map((_, i) => colour(palette[i % palette.length])), legend: true},
    marks: [
      Plot.barX(rows, {x: "value", y: "pipeline_rank", fill: "cause", order: causes, insetTop: 1, insetBottom: 1, stroke: colour("--card"), strokeWidth: 0.5,
        channels: {cause: "cause"}, tip: {format: {fill: false, x: (v) => `${fixed(v, 3)} s`}}}),
      Plot.ruleX([0]),
    ],
  }));
}

const memory_parts = [["parameters", "--weight"], ["gradients", "--input"], ["optimizer", "--optimizer"], ["activations", "--forward"], ["buffers", "--soft"]];

function memory_at_peak(host, ranks, capacity) {
  const rows = ranks.flatMap((rank) => memory_parts.map(([part]) => ({pipeline_rank: rank.pipeline_rank, part, value: rank.memory[part] / units.gib.scale})));
  chart(host, (width) => Plot.plot({
    ...by_rank(ranks, width),
    x: {...foot(), label: "GiB at the peak", grid: true},
    color: {domain: memory_parts.map(([part]) => part), range: memory_parts.map(([, name]) => colour(name)), legend: true},
    marks: [
      Plot.barX(rows, {x: "value", y: "pipeline_rank", fill: "part", order: memory_parts.map(([part]) => part), insetTop: 1, insetBottom: 1,
        stroke: colour("--card"), strokeWidth: 0.5, channels: {part: "part"}, tip: {format: {fill: false, x: (v) => `${fixed(v, 1)} GiB`}}}),
      Plot.ruleX([0]),
      Plot.ruleX([capacity / units.gib.scale], {stroke: colour("--exposed"), strokeWidth: 2, strokeDasharray: "5,3"}),
    ],
  }));
}

// Memory over the step: all ranks thin, the chosen one thick. Returns a function that chooses.
function memory_curve(host, timeline, capacity, chosen) {
  const points = timeline.ranks.flatMap((rank, r) => {
    const rows = [];
    for (let i = 0; i < rank.memory.length; i += 2) rows.push({rank: r, time: rank.memory[i] * 1e-9, gib: rank.memory[i + 1] / units.gib.scale});
    if (rows.length > 0) rows.push({...rows.at(-1), time: timeline.makespan * 1e-9});
    return rows;
  });
  const draw = (width) => Plot.plot({
    width, height: Math.min(520 * scale(), Math.max(260, width * 0.5)), marginLeft: 44 * scale(), ...below(), style: plot_style(),
    x: {...foot(), label: "seconds into the step", domain: [0, timeline.makespan * 1e-9]},
    y: {label: "GiB held", grid: true, domain: [0, Math.max(capacity / units.gib.scale, d3.max(points, (p) => p.gib)) * 1.04]},
    marks: [
      Plot.line(points, {x: "time", y: "gib", z: "rank", curve: "step-after", stroke: colour("--soft"), strokeWidth: 0.6, strokeOpacity: 0.55}),
      Plot.line(points.filter((p) => p.rank === chosen), {x: "time", y: "gib", curve: "step-after", stroke: colour("--accent"), strokeWidth: 1.8}),
      Plot.ruleY([capacity / units.gib.scale], {stroke: colour("--exposed"), strokeWidth: 2, strokeDasharray: "5,3"}),
      Plot.text([capacity / units.gib.scale], {y: (v) => v, frameAnchor: "right", dy: -8, text: (v) => `capacity ${fixed(v, 1)} GiB`, fill: colour("--ink")}),
      Plot.text([[chosen]], {frameAnchor: "bottom-right", dy: -8, dx: -4, text: ([r]) => `thick: rank ${r}`, fill: colour("--accent")}),
      Plot.ruleY([0]),
      Plot.tip(points.filter((p) => p.rank === chosen), Plot.pointerX({x: "time", y: "gib", title: (p) => `rank ${p.rank}\n${fixed(p.gib, 1)} GiB\nfrom ${fixed(p.time, 3)} s`})),
    ],
  });
  const frame = chart(host, draw);
  return (rank) => {
    chosen = rank;
    if (frame.clientWidth > 0) frame.replaceChildren(draw(Math.floor(frame.clientWidth)));
  };
}

// Operators on the roofline of the GPU: arithmetic done for every byte moved, against what is reached of the peaks.
function roofline(host, operators, gpu) {
  const rows = operators.filter((op) => op.flops > 0 && op.seconds > 0 && op.bytes > 0 && !op.communication).map((op) => ({...op,
    intensity: op.flops / op.bytes, tflops: op.flops / op.seconds / 1e12, precision: op.profile_class.includes("fp8") ? "FP8" : "BF16"}));
  const classes = [...new Set(rows.map((row) => row.class))];
  const palette = ["--forward", "--weight", "--input", "--optimizer", "--exposed", "--full", "--soft"];
  const peaks = [["BF16 peak", gpu.bf16_flops], ["FP8 peak", gpu.fp8_flops]].filter(([, flops]) => flops > 0);
  const low = d3.min(rows, (r) => r.intensity) / 2, high = d3.max(rows, (r) => r.intensity) * 3;
  const roofs = peaks.flatMap(([name, flops]) => {
    const ridge = flops / gpu.memory_bandwidth;
    return [low, Math.min(Math.max(ridge, low), high), high].map((x) => ({name, x, y: Math.min(flops, x * gpu.memory_bandwidth) / 1e12}));
  });
  chart(host, (width) => Plot.plot({
    width, height: Math.min(520 * scale(), Math.max(260, width * 0.5)), marginLeft: 56 * scale(), ...below(), style: plot_style(),
    x: {...foot(), type: "log", label: "FLOP for a byte of HBM traffic", grid: true, domain: [low, high], tickFormat: "~s"},
    y: {type: "log", label: "TFLOP/s alone on the GPU", grid: true, tickFormat: "~r"},
    color: {domain: classes, range: classes.map((_, i) => colour(palette[i % palette.length]))},
    symbol: {domain: classes, legend: true},
    r: {type: "identity"},
    marks: [
      Plot.line(roofs, {x: "x", y: "y", z: "name", stroke: colour("--ink"), strokeWidth: 1.4}),
      Plot.text(peaks, {x: high, y: ([, flops]) => flops / 1e12, text: ([name, flops]) => `${name} ${fixed(flops / 1e12, 0)}`, textAnchor: "end", dy: -8, fill: colour("--ink")}),
      Plot.dot(rows, {x: "intensity", y: "tflops", symbol: "class", stroke: "class", fill: "class", fillOpacity: 0.35, r: 4, tip: true,
        title: (row) => `${row.name} (${row.pass}), ${row.unit}\n${row.class}: ${shown(row.seconds, seconds_unit(row.seconds))} alone, ${shown(row.overlapped_seconds, seconds_unit(row.overlapped_seconds))} in a pair\n${fixed(row.tflops, 0)} TFLOP/s, ${fixed(row.intensity, 0)} FLOP/byte\ncost: ${origin_text(row.profile_class)}`}),
    ],
  }));
  return rows;
}

function origin_text(name) {
  const origin = (report.origins || []).find((each) => each.class === name);
  return origin ? `${name}, ${origin.origin}, ±${fixed(origin.relative_error * 100, 1)} %` : name;
}

// On paper and by day dark is hot, by night bright: what is busy stands out.
const links_colour = (label, width) => ({scheme: "cividis", domain: [0, 1], reverse: !night(), legend: width > 420, label, tickFormat: "%", marginLeft: 14});

// All links by kind and place. Which of the three figures of a cell is drawn can be chosen.
function link_heat_map(host, cells) {
  const figures = {mean: "mean_utilization", "most": "max_utilization", "least": "min_utilization"};
  const choose = element("select", {"aria-label": "figure of a cell", id: "link-figure"}, ...Object.keys(figures).map((name) => element("option", {value: name}, name)));
  host.append(element("div", {class: "tools"}, element("label", {for: "link-figure"}, "of the links in a cell"), choose));
  const kinds = [...new Set(cells.map((cell) => cell.kind))], places = [...new Set(cells.map((cell) => cell.place))];
  const working = cells.filter((cell) => cell.failed < cell.links), dead = cells.filter((cell) => cell.failed === cell.links);
  const percent_of = (value) => `${fixed(value * 100, value > 0 && value < 0.0995 ? 1 : 0)}`;
  const draw = (width) => {
    const figure = figures[choose.value], narrow = width < 520;
    return Plot.plot({
      width, height: scale() * (kinds.length * 30 + 84), marginLeft: Math.round(124 * scale()), marginRight: 8, ...below(), style: plot_style(),
      x: {...foot(), domain: places, label: null, tickSize: 0, tickFormat: (place) => (narrow ? place.replace(/^\D+/, "") || place : place)},
      y: {label: null, domain: kinds, tickSize: 0},
      color: links_colour("busy, of what the kernels reach", width),
      marks: [
        Plot.cell(working, {x: "place", y: "kind", fill: figure, inset: 1, tip: true, channels: {links: "links"},
          title: (cell) => `${cell.kind}, ${cell.place}: ${fixed(cell.links - cell.failed, 0)} links${cell.failed ? `, ${cell.failed} failed` : ""}\nmean ${percent_of(cell.mean_utilization)} %, least ${percent_of(cell.min_utilization)} %, most ${percent_of(cell.max_utilization)} %`}),
        Plot.cell(dead, {x: "place", y: "kind", fill: "none", stroke: colour("--line"), inset: 2}),
        Plot.text(working, {x: "place", y: "kind", text: (cell) => percent_of(cell[figure]), fill: (cell) => ((cell[figure] > 0.45) !== night() ? "#ffffff" : "#1b1e23")}),
        Plot.text(dead, {x: "place", y: "kind", text: () => (narrow ? "✕" : "failed"), fill: colour("--soft")}),
      ],
    });
  };
  const frame = chart(host, draw);
  choose.addEventListener("change", () => frame.replaceChildren(draw(Math.floor(frame.clientWidth))));
}

// Links by how long they are busy, and the figure is written on it.
function hottest_links(host, links) {
  chart(host, (width) => Plot.plot({
    width, height: scale() * (links.length * 26 + 70), marginLeft: Math.min(d3.max(links, (link) => link.link.length) * 7.2 * scale() + 8, width * 0.55), marginRight: 50, ...below(), style: plot_style(),
    x: {...foot(), label: "share of the dispatch's time, of what its kernels reach", domain: [0, 1], tickFormat: "%", grid: true},
    y: {label: null, domain: links.map((link) => link.link)},
    color: links_colour("busy", 0),
    marks: [
      Plot.barX(links, {x: "utilization", y: "link", fill: "utilization", insetTop: 2, insetBottom: 2}),
      Plot.text(links, {x: "utilization", y: "link", text: (link) => `${fixed(link.utilization * 100, 1)} %`, textAnchor: "start", dx: 4, fill: colour("--ink")}),
      Plot.ruleX([0]),
    ],
  }));
}

// Any list of {name, value, ...} as bars with their figures.
function bars(host, rows, {label, format, fill = "--accent", name = (row) => row.name}) {
  chart(host, (width) => Plot.plot({
    width, height: scale() * (rows.length * 28 + 66), marginLeft: scale() * Math.min(220, 20 + 7 * d3.max(rows, (row) => name(row).length)), marginRight: 90 * scale(), ...below(), style: plot_style(),
    x: {label, grid: true, tickFormat: "~s"},
    y: {label: null, domain: rows.map(name)},
    marks: [
      Plot.barX(rows, {x: "value", y: name, fill: colour(fill), insetTop: 2, insetBottom: 2}),
      Plot.text(rows, {x: "value", y: name, text: (row) => format(row.value), textAnchor: "start", dx: 5, fill: colour("--ink")}),
      Plot.ruleX([0]),
    ],
  }));
}

// p10 to p90 as a band, the median as a line, the simulated value as a diamond. ranges: [name, {p10, p50, p90}, value]
function range_chart(host, ranges) {
  const rows = ranges.map(([name, range, value]) => ({name, ...range, value}));
  const thousands = (value) => `${fixed(value / 1e3, 0)}K`;
  chart(host, (width) => Plot.plot({
    width, height: (60 + 74 * rows.length) * scale(), marginLeft: 64 * scale(), marginRight: 30, ...below(), style: plot_style(),
    x: {...foot(), label: "GPU-hours of the whole run", domain: [0, d3.max(rows, (row) => row.p90) * 1.06], tickFormat: d3.format("~s"), ticks: Math.max(2, width / 130), grid: true},
    y: {label: null, domain: rows.map((row) => row.name), padding: 0.5},
    marks: [
      Plot.barX(rows, {x1: "p10", x2: "p90", y: "name", fill: colour("--accent"), fillOpacity: 0.3, stroke: colour("--accent")}),
      Plot.tickX(rows, {x: "p50", y: "name", stroke: colour("--accent"), strokeWidth: 2.5}),
      Plot.dot(rows, {x: "value", y: "name", r: 5, fill: colour("--ink"), symbol: "diamond"}),
      Plot.text(rows, {x: "p10", y: "name", dx: -5, textAnchor: "end", text: (row) => `p10 ${thousands(row.p10)}`, fill: colour("--ink")}),
      Plot.text(rows, {x: "p50", y: "name", dy: 27 * scale(), text: (row) => `median ${thousands(row.p50)}, p90 ${thousands(row.p90)}`, fill: colour("--ink")}),
    ],
  }));
}

// Six symbols and seven colours: 42 classes before a pair returns.
const symbols = ["circle", "plus", "diamond2", "square2", "triangle2", "times"];

// Predicted over reported, with the band of ten per cent around equality.
function validation_scatter(host, rows) {
  const classes = [...new Set(rows.map((row) => row.class))];
  const low = d3.min(rows, (r) => Math.min(r.reported, r.predicted)) / 1.3, high = d3.max(rows, (r) => Math.max(r.reported, r.predicted)) * 1.3;
  const band = [low, high].map((x) => ({x, upper: x * 1.1, lower: x * 0.9}));
  const palette = ["--accent", "--exposed", "--input", "--optimizer", "--forward", "--full", "--soft"];
  const unit = rows[0].unit ? `, ${rows[0].unit}` : "";
  return (width) => Plot.plot({
    width, height: Math.min(760 * scale(), Math.max(300, width * 0.55)), marginLeft: 64 * scale(), ...below(), style: plot_style(),
    x: {...foot(), type: "log", label: `reported${unit}`, grid: true, domain: [low, high], tickFormat: "~g"},
    y: {type: "log", label: `predicted${unit}`, grid: true, domain: [low, high], tickFormat: "~g"},
    color: {domain: classes, range: classes.map((_, i) => colour(palette[i % palette.length]))},
    symbol: {domain: classes, range: classes.map((_, i) => symbols[i % symbols.length]), legend: classes.length > 1},
    marks: [
      Plot.areaY(band, {x: "x", y1: "lower", y2: "upper", fill: colour("--accent"), fillOpacity: 0.14}),
      Plot.line(band, {x: "x", y: "x", stroke: colour("--ink"), strokeDasharray: "4,3"}),
      Plot.dot(rows, {x: "reported", y: "predicted", stroke: "class", symbol: "class", r: rows.length > 300 ? 2.4 : 4, strokeOpacity: 0.8, tip: true,
        title: (row) => `${row.class}: ${row.id}\nreported ${significant(row.reported)} ${row.unit}\npredicted ${significant(row.predicted)} ${row.unit}\nerror ${row.error > 0 ? "+" : ""}${fixed(row.error * 100, 1)} %`}),
    ],
  });
}

// Simulated layouts: step time against memory; the front is what nothing beats in both.
function search_scatter(host, points, front, limit) {
  const schedules = [...new Set(points.map((p) => p.schedule))];
  const palette = ["--accent", "--forward", "--input", "--optimizer", "--exposed", "--full", "--soft"];
  const gib = (point) => point.peak_memory_bytes / units.gib.scale;
  chart(host, (width) => Plot.plot({
    width, height: Math.min(560 * scale(), Math.max(300, width * 0.45)), marginLeft: 52 * scale(), ...below(), style: plot_style(),
    x: {...foot(), label: "GiB at the peak", grid: true, nice: true}, y: {label: "seconds of a step", grid: true, nice: true},
    color: {domain: schedules, range: schedules.map((_, i) => colour(palette[i % palette.length]))},
    symbol: {domain: schedules, legend: true},
    marks: [
      Plot.ruleX([limit / units.gib.scale], {stroke: colour("--exposed"), strokeWidth: 2, strokeDasharray: "5,3"}),
      Plot.line(d3.sort(front, gib), {x: gib, y: "step_time_s", stroke: colour("--ink"), curve: "step-after", strokeOpacity: 0.6}),
      Plot.dot(points, {x: gib, y: "step_time_s", stroke: "schedule", symbol: "schedule", r: 4, tip: true,
        title: (p) => `${p.schedule}\n${p.layout}\n${fixed(p.step_time_s, 3)} s, ${fixed(gib(p), 1)} GiB${p.refused ? `\n${p.refused}` : ""}`}),
    ],
  }));
}
