"use strict";
// One view a command. A panel appears where its data is present.

const rank_columns = [["rank", "pipeline_rank", units.count], ["F", "forward_s", units.seconds], ["B", "backward_s", units.seconds], ["W", "weight_s", units.seconds],
  ["F&B", "overlapped_s", units.seconds], ["update", "optimizer_s", units.seconds], ["bubble", "bubble_s", units.seconds],
  ["exposed comm", "exposed_communication_s", units.seconds], ["parameters", "memory/parameters", units.gib], ["gradients", "memory/gradients", units.gib],
  ["optimizer", "memory/optimizer", units.gib], ["activations", "memory/activations", units.gib], ["buffers", "memory/buffers", units.gib], ["peak", "peak_memory_bytes", units.gib]];

// Figures and charts of a simulated step at a JSON pointer of the document.
function step_figures(base) {
  const step = at(base) || doc;
  const peak = index_of_largest(step.ranks, (rank) => rank.peak_memory_bytes);
  figures("the step in figures", [
    ["step time", `${base}/step_time_s`, units.seconds, `${fixed(step.micro_batches, 0)} micro-batches, ${step.schedule}`],
    ["tokens a day", `${base}/tokens_per_day`, units.billions, `${fixed(step.tokens_per_second_per_gpu, 0)} tokens/s a GPU`],
    ["MFU, causal", `${base}/mfu/causal`, units.percent, `${fixed(step.mfu.non_causal * 100, 1)} % non-causal, of the BF16 peak`],
    ["a GPU's model FLOPs", `${base}/model_tflops_per_gpu/causal`, units.tflops, "causal"],
    ["largest bubble", `${base}/bubble_ratio`, units.percent, `rank ${step.slowest_rank} waits least`],
    ["peak memory", `${base}/ranks/${peak}/peak_memory_bytes`, units.gib, `rank ${peak}: ${step.fits ? "fits in" : "does not fit in"} ${fixed(step.memory_capacity_bytes / units.gib.scale, 1)} GiB`, !step.fits],
    ["GPUs", `${base}/gpus`, units.count],
  ]);
}

function step_panels(base) {
  const step = at(base) || doc;
  const time = section("Where the time of each rank goes", "Blocks that run alone (F, B, W), overlapped pairs, the update and waiting add up to the step. Exposed communication, the thin bar, is inside the blocks: the compute stream waits for it.");
  breakdown(time, step.ranks);
  const memory = section("Memory at the peak", "Of one GPU of each rank; dashed: what the GPU has.");
  memory_at_peak(memory, step.ranks, step.memory_capacity_bytes);
}

function rank_figures(base) {
  const step = at(base) || doc;
  const all = section("Every rank in figures", "", {wide: true});
  all.append(table(`${base}/ranks`, rank_columns, {chosen: (rank) => rank.pipeline_rank === step.slowest_rank}));
}

// Where the cost of a span or a block comes from: its operators and the profile's classes that price them.
function explain_cost(what, chart) {
  const spans = what.kind === undefined ? [what] : chart.spans_of_rank(what.rank).filter((span) => span.block === what);
  if (spans.length === 0) return null;
  const totals = new Map();
  for (const span of spans) {
    const total = totals.get(span.name) || {name: span.name, cls: span.cls, lane: span.lane, count: 0, time: 0};
    total.count += 1;
    total.time += span.end - span.start;
    totals.set(span.name, total);
  }
  const rows = [...totals.values()].sort((a, b) => b.time - a.time);
  return table("", [["what", (row) => row.name], ["stream", (row) => lane_names[row.lane].replace(" stream", "")], ["times", (row) => row.count],
    ["total", (row) => time_text(row.time, "ns")], ["priced by (class of the profile, origin, error)", cost_sources, null, true]], {rows});
}

function operators_of(total) {
  const pass = /\(([FBW])\)$/.exec(total.name);
  if (!pass) return [];
  const part = total.cls.replace(/_(local|collective)$/, "");
  const communication = total.lane === 2;
  return report.operators.filter((op) => op.pass === pass[1] && op.communication === communication && (op.part === part || op.unit.toLowerCase() === part.replace("_", " ")) &&
    (op.part === part || op.unit !== "dense layer"));
}

function cost_sources(total) {
  const shares = grouped(operators_of(total), (op) => op.profile_class).map(([name, ops]) => [name, sum_of(ops, (op) => op.seconds)]).sort((a, b) => b[1] - a[1]);
  if (shares.length === 0) return total.cls === "send" ? origin_text("rdma") : total.cls === "optimizer" ? origin_text("optimizer") : "";
  return shares.slice(0, 3).map(([name]) => origin_text(name)).join("; ");
}

function simulate_view() {
  step_figures("");
  const panel = section("The step, rank by rank", "Every block of the schedule as the simulation runs it; one pipeline stands for all, whose timelines are equal. The chosen rank shows its streams: hatched is communication.", {wide: true, id: "gantt"});
  const legend = gantt_legend([report.timeline]);
  const host = element("div");
  panel.append(legend, host);
  const main = new Gantt(host, report.timeline, {title: "step", explain: explain_cost});
  host.before(gantt_tools(main));
  later(() => step_panels(""));
  later(() => {
    const curve = section("Memory over the step", "All ranks; the thick line is the rank chosen in the chart above.");
    main.changed = memory_curve(curve, report.timeline, doc.memory_capacity_bytes, main.rank);
  });
  later(roofline_panel);
  if (doc.ranks[0].idle) later(() => idle_panel(""));
  if (doc.critical_path) later(critical_panel);
  if (doc.network) later(network_panel);
  later(() => rank_figures(""));
  later(origins_panel);
}

function roofline_panel() {
  const roof = section("Roofline of the operators", "Every operator that computes, alone on the GPU: what it does for a byte and what it reaches. The distance to the roof is what the profile says of real kernels.");
  roofline(roof, report.operators, report.gpu);
  roof.append(folded_later("all operators in figures", operator_table));
}

const dashed = {...units.count, dash: true};
const micros = {...units.microseconds, unit: ""};
function operator_table() {
  return table("", [["operator", (op) => `${op.name} (${op.pass})`], ["unit", (op) => op.unit], ["class", (op) => op.class], ["GFLOP", (op) => fixed(op.flops / 1e9, 1)],
    ["HBM MB", (op) => fixed(op.bytes / 1e6, 1)], ["sent MB", (op) => fixed(op.message_bytes / 1e6, 1)], ["µs alone", (op) => shown(op.seconds, micros)],
    ["µs in a pair", (op) => shown(op.overlapped_seconds, micros)], ["cost from", (op) => origin_text(op.profile_class), null, true]], {rows: report.operators});
}

const words = (key) => key.replace(/_s$/, "").replaceAll("_", " ");

// The classes of work on the critical path; they add up to the step.
function critical_panel() {
  const path = doc.critical_path;
  const rows = Object.entries(path.classes).map(([key, seconds]) => ({name: words(key), value: seconds, path: `/critical_path/classes/${key}`})).filter((row) => row.value > 0);
  const panel = section("Critical path", `The chain of ${fixed(path.tasks, 0)} tasks whose lengths add up to the step; underlined in the chart above. Shortening anything else does not shorten the step.`);
  bars(panel, [...rows].sort((a, b) => b.value - a.value), {label: "seconds on the path", format: (v) => `${fixed(v, 3)} s`, fill: "--critical"});
  panel.append(folded("in figures", element("dl", {class: "figures"}, ...rows.map((row) => element("div", {}, element("dt", {}, row.name), element("dd", {}, figure(row.path, units.seconds)))))));
}

function idle_panel(base) {
  const step = at(base) || doc;
  const keys = Object.keys(step.ranks[0].idle);
  const panel = section("Why each rank waits", "Every moment of a rank's bubble has one cause: what the last thing it waited for was doing meanwhile. Dependency: computing, as long as such a block takes on average; imbalance: longer than that.");
  stacked_causes(panel, step.ranks, keys);
  const tiers = ["rdma_s", "nvlink_s", "peer_wait_s"];
  panel.append(folded("in figures, with exposed communication by tier", table(`${base}/ranks`, [["rank", "pipeline_rank", units.count], ["bubble", "bubble_s", units.seconds],
    ...keys.map((key) => [words(key), `idle/${key}`, units.seconds]), ...tiers.map((key) => [`in blocks: ${words(key)}`, `exposed_communication/${key}`, units.seconds])])));
}

function network_panel() {
  const panel = section("The network during a dispatch", `All expert-parallel groups at once: dispatch takes ${fixed(doc.network.dispatch_factor, 3)} times, combine ${fixed(doc.network.combine_factor, 3)} times what one balanced group alone would; the fullest GPU holds ${fixed(doc.network.imbalance, 3)} times the mean load.`, {wide: true});
  if (doc.network.links) {
    link_heat_map(panel, doc.network.links);
    panel.append(folded("all links in figures", table("/network/links", [["from and to", "kind"], ["where", "place"], ["links", "links", units.count], ["failed", "failed", dashed],
      ["least busy", "min_utilization", units.percent], ["mean", "mean_utilization", units.percent], ["most", "max_utilization", units.percent]])),
      element("h3", {}, "The hottest"));
  }
  hottest_links(panel, doc.network.hottest_links);
  panel.append(folded("in figures", table("/network/hottest_links", [["link", "link"], ["of a dispatch", "bytes", units.megabytes], ["busy", "utilization", units.percent]])));
}

function origins_panel() {
  if (!report.origins || report.origins.length === 0) return;
  const panel = section("Where the costs come from", "The classes of the profile. The error is one standard deviation of the class as a whole; held-out fits state it.", {wide: true});
  panel.append(table("", [["class", (o) => o.class], ["origin", (o) => o.origin], ["error", (o) => `±${fixed(o.relative_error * 100, 1)} %`], ["source", (o) => o.source, null, true]], {rows: report.origins}));
}

function compare_view() {
  const unit = doc.costs.unit, with_plan = doc.schedules.some((s) => s.step_time_s !== undefined);
  const costs = ["F", "B", "W", "FB", "p2p"].map((key) => `${key}=${significant(doc.costs[key])}`).join(" ");
  const panel = section("Side by side", `Costs of a rank's work for one micro-batch: ${costs}${unit ? ` ${unit}` : ""}. All charts share one scale of time.`, {wide: true, id: "gantt"});
  panel.append(gantt_legend(report.timelines));
  const longest = Math.max(...report.timelines.map((t) => t.makespan));
  const view = {x0: 0, x1: longest, full: longest, charts: []};
  report.timelines.forEach((timeline, i) => {
    const host = element("div");
    const s = doc.schedules[i];
    panel.append(element("h3", {}, s.name), element("p", {class: "hint"}, "makespan ", figure(`/schedules/${i}/makespan`), `${unit ? ` ${unit}` : ""}, largest bubble `,
      figure(`/schedules/${i}/bubble`), `, peak activations `, figure(`/schedules/${i}/peak_activations`)), host);
    const chart = new Gantt(host, timeline, {title: s.name, view});
    if (i === 0) panel.querySelector(".legend").after(gantt_tools(chart));
  });
  const share = section("Bubble", "Largest wait of a rank, share of the makespan.");
  bars(share, doc.schedules.map((s) => ({name: s.name, value: s.bubble_ratio * 100})), {label: "per cent", format: (v) => `${fixed(v, 1)} %`, fill: "--forward"});
  const span = section(with_plan ? "Step time" : "Makespan", with_plan ? "Simulated on the plan, with communication and memory." : "From the first start to the last end.");
  bars(span, doc.schedules.map((s) => ({name: s.name, value: with_plan ? s.step_time_s : s.makespan})), {label: with_plan ? "seconds" : unit || "units of the costs", format: (v) => (with_plan ? `${fixed(v, 3)} s` : significant(v))});
  const columns = [["schedule", "name"], ["makespan", "makespan"], ["span", "span"], ["bubble", "bubble"], ["of makespan", "bubble_ratio", units.percent], ["of span", "span_bubble_ratio", units.percent],
    ["activations", "peak_activations"], ["copies", "parameter_copies", units.count], ["pairs", "overlapped_pairs", units.count], ["bound", "lower_bound"]];
  if (with_plan) columns.push(["step", "step_time_s", units.seconds], ["step bubble", "step_bubble_ratio", units.percent], ["peak", "peak_memory_bytes", units.gib], ["fits", (s) => (s.fits ? "yes" : "no")]);
  const all = section("In figures", "", {wide: true});
  all.append(table("/schedules", columns));
  const formulas = doc.schedules.map((s, i) => [s, i]).filter(([s]) => s.closed_form);
  if (formulas.length > 0) {
    all.append(folded("closed forms of the literature", table("", [["schedule", ([s]) => s.name], ["formula", ([s]) => s.closed_form.formula], ["value", ([s]) => significant(s.closed_form.value)],
      ["of", ([s]) => s.closed_form.of], ["applies", ([s]) => (s.closed_form.applies ? "yes" : `no (${s.closed_form.regime})`)]], {rows: formulas})));
  }
  for (const refused of doc.refused) all.append(element("p", {class: "hint"}, `${refused.name} not run: ${refused.reason}`));
}

function plan_view() {
  const cost = at("/cost_usd") >= 1e6 ? units.millions : units.dollars, hours = units.thousands;
  figures("the budget in figures", [
    ["GPU-hours of the steps", "/gpu_hours", hours, `p10 ${fixed(doc.total_gpu_hours.p10 / 1e3, 0)}K, p90 ${fixed(doc.total_gpu_hours.p90 / 1e3, 0)}K`],
    ["with failures and restarts, median", "/gross_gpu_hours/p50", hours, doc.gross_gpu_hours && `p10 ${fixed(doc.gross_gpu_hours.p10 / 1e3, 0)}K, p90 ${fixed(doc.gross_gpu_hours.p90 / 1e3, 0)}K`],
    ["energy", "/energy/gross_MWh", {...units.count, unit: " MWh"}, doc.energy && `${fixed(doc.energy.net_MWh, 0)} MWh for the steps alone`],
    ["days", "/days", {...units.days, unit: ""}],
    ["cost", "/cost_usd", cost, `$${fixed(doc.price_usd_per_gpu_hour, 2)} a GPU-hour`],
    ["GPUs", "/gpus", units.count],
  ]);
  const range = section("How well it can be known", "Drawn from the stated errors of the costs; the diamond is the simulation itself. Gross adds failures, restarts and checkpoints. In neither: stragglers beyond the profile's, evaluation, data loading.");
  const ranges = [["net", doc.total_gpu_hours, doc.gpu_hours === undefined ? doc.total_gpu_hours.p50 : doc.gpu_hours]];
  if (doc.gross_gpu_hours) ranges.push(["gross", doc.gross_gpu_hours, doc.goodput.gross_gpu_hours]);
  range_chart(range, ranges);
  const stages = section("GPU-hours by stage");
  bars(stages, doc.stages.map((s) => ({name: s.name, value: s.gpu_hours})), {label: "GPU-hours", format: (v) => `${fixed(v / 1e3, 0)}K`});
  const moves = section("What moves it most", "GPU-hours that one standard deviation of each cost adds to the whole run.");
  bars(moves, doc.sensitivities.slice(0, 12).map((s) => ({name: `${s.cost} +${fixed(s.relative_error * 100, 1)} %`, value: s.gpu_hours})), {label: "GPU-hours", format: (v) => `+${fixed(v, 0)}`, fill: "--forward"});
  const all = section("Stages in figures", "", {wide: true});
  all.append(table("/stages", [["stage", "name"], ["tokens", "tokens", {...units.billions, dash: true}], ["sequence", "sequence_length", dashed], ["batch", "global_batch", dashed],
    ["steps", "steps", dashed], ["step", "step/step_time_s", units.seconds], ["GPU-hours", "gpu_hours", units.count], ["days", "days", {...units.days, unit: ""}], ["cost", "cost_usd", units.dollars]]));
  const first = doc.stages.findIndex((s) => s.step);
  if (first < 0) return origins_panel();
  const heading = section(`One step of ${doc.stages[first].name}`, "As hourglass simulate shows it, which also draws its timeline.", {wide: true});
  heading.classList.add("heading");
  step_figures(`/stages/${first}/step`);
  step_panels(`/stages/${first}/step`);
  rank_figures(`/stages/${first}/step`);
  origins_panel();
}

function validate_view() {
  const exceeded = doc.classes.filter((c) => c.exceeded).length;
  const panel = section("Predicted against reported", "Every row on logarithmic axes; dashed: equal; the band is ±10 %.", {wide: true, id: "scatter"});
  const groups = grouped(doc.rows, (row) => row.unit);
  const choices = [...groups.map(([unit, rows]) => [`all in ${unit || "shares"} (${rows.length})`, rows]), ...grouped(doc.rows, (row) => row.class).map(([name, rows]) => [`${name} (${rows.length})`, rows])];
  const choose = element("select", {"aria-label": "rows shown", id: "rows-shown"}, ...choices.map(([name], i) => element("option", {value: i}, name)));
  const host = element("div", {class: "plot"});
  const inside = element("p", {class: "hint", "aria-live": "polite"});
  panel.append(element("div", {class: "tools"}, element("label", {for: "rows-shown"}, "rows"), choose), host, inside);
  const draw = () => {
    const rows = choices[Number(choose.value)][1];
    if (host.clientWidth > 0) host.replaceChildren(validation_scatter(host, rows)(Math.floor(host.clientWidth)));
    const within = rows.filter((row) => Math.abs(row.error) <= 0.1).length;
    inside.textContent = `${within} of ${rows.length} rows within ±10 %`;
  };
  choose.value = String(index_of_largest(groups, ([, rows]) => rows.length));
  choose.addEventListener("change", draw);
  drawn(host, draw);
  const classes = section("Classes", exceeded > 0 ? `${exceeded} exceed a stated bound.` : "No class exceeds its stated bound.", {wide: true});
  classes.append(table("/classes", [["class", "class"], ["rows", "rows", units.count], ["median error", "median_abs_error", units.percent], ["90th percentile", "p90_abs_error", units.percent],
    ["bias", "bias", units.percent], ["worst", "worst_abs_error", units.percent], ["bound exceeded", (c) => (c.exceeded ? "yes" : "no")], ["worst row", "worst", null, true]]));
  const rows = section("Rows", "The first of those that contain the words.", {wide: true});
  const find = element("input", {type: "search", placeholder: "class or row", "aria-label": "rows that contain"});
  const list = element("div");
  const show = () => {
    const words = find.value.toLowerCase();
    const found = doc.rows.filter((row) => `${row.class} ${row.id}`.toLowerCase().includes(words));
    list.replaceChildren(table("", [["row", (r) => `${r.class}: ${r.id}`], ["reported", (r) => `${significant(r.reported)} ${r.unit}`], ["predicted", (r) => `${significant(r.predicted)} ${r.unit}`],
      ["error", (r) => `${r.error > 0 ? "+" : ""}${fixed(r.error * 100, 2)} %`]], {rows: found.slice(0, 25)}), found.length > 25 ? `${found.length - 25} more` : "");
  };
  find.addEventListener("input", show);
  rows.append(element("div", {class: "tools"}, find), list);
  show();
  if (doc.skipped.length > 0) rows.append(folded(`${doc.skipped.length} skipped`, table("/skipped", [["row", "id"], ["reason", "reason", null, true]])));
}

function search_view() {
  const best = doc.best;
  const plan_text = (p) => `${p.plan.schedule}, tp ${p.plan.tp} pp ${p.plan.pp} ep ${p.plan.ep}`;
  figures("the search in figures", [
    ["cheapest that fits", "/best/whole_step_time_s", units.seconds, plan_text(best)],
    ["its peak memory", "/best/peak_memory_bytes", units.gib],
    ["plans", "/plans", units.count], ["illegal", "/illegal", units.count], ["too large", "/too_large", units.count],
    ["cannot win", "/bounded", units.count], ["simulated", "/simulated", units.count],
  ]);
  const panel = section("Time against memory", "The front: no other plan is better in time, memory, GPUs and cost. Dashed: the memory that may be used.", {wide: true});
  search_scatter(panel, doc.front.map((p) => ({...p, schedule: p.plan.schedule, layout: plan_text(p)})), doc.front, report.memory_limit_bytes);
  const axes = Object.keys(best.plan).map((axis) => [axis, `plan/${axis}`]);
  const measures = [["step", "step_time_s", units.seconds], ["peak", "peak_memory_bytes", units.gib]];
  section("The front", "", {wide: true}).append(table("/front", [...axes, ...measures]));
  section("The cheapest, simulated whole", "With what the sweep of all plans leaves out: contention on the NICs.", {wide: true})
    .append(table("/finalists", [...axes, ...measures, ["whole step", "whole_step_time_s", units.seconds]]));
  section("Why not a neighbour of the best", "One value changed.", {wide: true}).append(table("/neighbours", [["changed", "differs"],
    ["because", (p) => p.refused || `${fixed((p.step_time_s / best.step_time_s - 1) * 100, 1)} % slower`, null, true]]));
}

const views = {simulate: simulate_view, compare: compare_view, plan: plan_view, validate: validate_view, search: search_view};
document.getElementById("title").textContent = report.title;
document.getElementById("subtitle").textContent = report.subtitle;
views[report.kind]();
provenance();
window.hourglass = {report, gantts};
document.documentElement.dataset.interactive = performance.now().toFixed(0);
when_idle(draw_waiting);
