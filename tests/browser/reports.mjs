// Opens every HTML report and checks what a reader would: that its figures are those of the JSON, that the Gantt can be
// walked, zoomed and panned, that nothing is asked of the network, that names are inert, that it fits a phone and a wall.
//   node tests/browser/reports.mjs [PROGRAM] [FOLDER for screenshots]
import {cpSync, readFileSync, statSync, writeFileSync} from "node:fs";
import {join} from "node:path";
import {check, finish, hourglass, launch, open, pictures, root, scratch} from "./browser.mjs";

const browser = await launch();
const plan = "configs/plans/deepseek-v3.json";
const search = ["search", "configs/plans/llama-3.1-405b.json", "--set", "plan.gpus=512", "--set", "plan.global_batch=64"];
const reports = {
  simulate: ["simulate", plan],
  network: ["simulate", plan, "--set", 'plan.network={"failed":["plane3"],"expert_skew":0.2}'],
  plan: ["plan", plan],
  compare_plan: ["compare", plan],
  compare: ["compare", "--ranks", "8", "--micro-batches", "20", "--schedules", "1f1b,zb-h1,interleaved-1f1b,dualpipe"],
  validate: ["validate"],
  search,
};
const sizes = {phone: {width: 360, height: 740}, desk: {width: 1440, height: 900}, wall: {width: 3840, height: 2160}};

const pointer = (document, path) => path.split("/").slice(1).reduce((value, key) => value?.[key], document);

// A figure as it is read by a person: the number in the text, in the unit that the cell states.
function agrees(text, value, scale) {
  if (typeof value === "string") return text === value;
  if (typeof value === "boolean") return text === (value ? "yes" : "no");
  if (value === undefined || value === null || text === "–") return text === "–" && !value;
  const number = /-?[\d,]*\.?\d+(e[+-]?\d+)?/.exec(text)[0].replaceAll(",", "");
  const decimals = /\.(\d+)/.exec(number)?.[1].length ?? 0;
  const grain = /e/.test(number) || Number(number).toPrecision(6).includes("e") ? Math.abs(Number(number)) * 1e-5 : 10 ** -decimals;
  return Math.abs(Number(number) - value / scale) <= Math.max(grain * 0.5000001, Math.abs(value / scale) * 5.1e-6 * (scale === 1 && decimals > 0));
}

async function figures_agree(name, page, document) {
  const cells = await page.$$eval("[data-path]", (nodes) => nodes.map((n) => ({path: n.dataset.path, scale: Number(n.dataset.scale), text: n.textContent})));
  check(cells.length >= 10, `${name}: only ${cells.length} figures`);
  for (const {path, scale, text} of cells) {
    const value = pointer(document, path);
    check(agrees(text, value, scale), `${name}: ${path} shows ${text}, the JSON has ${value}`);
  }
  return cells.length;
}

async function is_complete(name, page) {
  const seen = await page.evaluate(() => ({
    sections: [...document.querySelectorAll("section")].map((s) => s.getAttribute("aria-label")),
    empty: [...document.querySelectorAll(".plot")].filter((p) => !p.querySelector("svg path, svg rect, svg circle, svg line")).length,
    wide: document.documentElement.scrollWidth > innerWidth,
  }));
  check(seen.empty === 0, `${name}: ${seen.empty} charts are empty`);
  check(!seen.wide, `${name}: wider than the window`);
  return seen.sections;
}

for (const [name, words] of Object.entries(reports)) {
  const file = join(scratch, `${name}.html`);
  const document = JSON.parse(hourglass(...words, "--format", "json", "--html", file));
  check(statSync(file).size < 5e6, `${name}: ${statSync(file).size} bytes`);
  const {page, complaints} = await open(browser, file);
  const carried = await page.evaluate(() => window.hourglass.report.document);
  check(JSON.stringify(carried) === JSON.stringify(document), `${name}: the page carries another document than --format json prints`);
  const count = await figures_agree(name, page, document);
  const sections = await is_complete(name, page);
  const wanted = {simulate: ["The step, rank by rank", "Critical path", "Why each rank waits", "Memory over the step", "Roofline of the operators", "Where the time of each rank goes"],
    network: ["The network during a dispatch"], plan: ["How well it can be known", "GPU-hours by stage"], compare: ["Side by side"], compare_plan: ["Step time"],
    validate: ["Predicted against reported"], search: ["Time against memory"]}[name];
  for (const title of wanted) check(sections.includes(title), `${name}: there is no panel '${title}'`);
  if (name === "network") {
    const drawn = await page.$$eval("section[aria-label='The network during a dispatch'] g[aria-label='cell'] rect", (cells) => cells.length);
    check(drawn === document.network.links.length && drawn >= 60, `the heat map has ${drawn} cells, the JSON ${document.network.links.length}`);
    const shown = () => page.$$eval("section[aria-label='The network during a dispatch'] g[aria-label='text'] text", (texts) => texts.map((text) => text.textContent).join(" "));
    const mean = await shown();
    await page.selectOption("#link-figure", "most");
    check((await shown()) !== mean, "the heat map shows the same for mean and most");
  }
  const interactive = await page.evaluate(() => document.documentElement.dataset.interactive);
  console.log(`${name}: ${(statSync(file).size / 1e6).toFixed(2)} MB, ${count} figures, ${sections.length} panels, answers after ${interactive} ms`);
  check(complaints.length === 0, `${name}: ${complaints.join("; ")}`);
  const pdf = await page.pdf({format: "A4", printBackground: true});
  check(pdf.length > 20000, `${name}: prints ${pdf.length} bytes`);
  await page.close();
  for (const [size, viewport] of Object.entries(sizes)) {
    for (const colorScheme of size === "desk" ? ["light", "dark"] : [size === "phone" ? "dark" : "light"]) {
      const other = await open(browser, file, {viewport, colorScheme});
      await is_complete(`${name} on a ${size} in ${colorScheme}`, other.page);
      check(other.complaints.length === 0, `${name} ${size}: ${other.complaints.join("; ")}`);
      if (pictures) await other.page.screenshot({path: join(pictures, `${name}-${size}-${colorScheme}.png`), fullPage: true});
      await other.page.close();
    }
  }
}

// The Gantt chart of a step: by button, wheel, pointer and keys.
{
  const {page, complaints} = await open(browser, join(scratch, "simulate.html"));
  const view = () => page.evaluate(() => [hourglass.gantts[0].view.x0, hourglass.gantts[0].view.x1]);
  const settle = () => page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));
  const detail = () => page.textContent(".detail");
  const full = await view();
  await page.click("button[aria-label='zoom in']");
  const nearer = await view();
  check(nearer[1] - nearer[0] < (full[1] - full[0]) * 0.7, "the zoom button does not zoom");
  await page.click("button[aria-label='later']");
  check((await view())[0] > nearer[0], "the button 'later' does not pan");
  await page.click("button[aria-label='show all']");
  check(JSON.stringify(await view()) === JSON.stringify(full), "'show all' does not show all");
  const box = await page.locator(".gantt canvas").boundingBox();
  const block = await page.evaluate(() => {
    const chart = hourglass.gantts[0], i = chart.blocks[3].findIndex((b) => b.kind === 4);
    return {...chart.rect(3, i), name: `F ${chart.blocks[3][i].mb} & BW ${chart.blocks[3][i].bmb}`, length: chart.blocks[3][i].end - chart.blocks[3][i].start};
  });
  await page.mouse.move(box.x + block.x + block.width / 2, box.y + block.y + block.height / 2);
  const tip = await page.textContent(".tip");
  check(tip.includes(block.name) && tip.includes("rank 3"), `the tip over ${block.name} says ${tip}`);
  check(tip.includes(`${(block.length / 1e6).toFixed(2)} ms`), `the tip does not say ${block.length} ns: ${tip}`);
  check((await detail()).includes("gemm_fp8"), `what a pair costs does not name gemm_fp8: ${await detail()}`);
  await page.mouse.click(box.x + block.x + block.width / 2, box.y + block.y + block.height / 2);
  check((await page.evaluate(() => hourglass.gantts[0].rank)) === 3, "a click does not choose the rank");
  await settle();
  const streams = await page.evaluate(() => {
    const chart = hourglass.gantts[0];
    const sum = (rank, lane) => chart.spans_of_rank(rank).filter((s) => s.lane === lane).reduce((total, s) => total + s.end - s.start, 0) * 1e-9;
    const d = hourglass.report.document;
    return d.ranks.map((r, i) => ({compute: sum(i, 1), blocks: r.forward_s + r.backward_s + r.weight_s + r.overlapped_s - r.exposed_communication_s - (r.launch_s || 0),
      optimizer: chart.spans_of_rank(i).filter((s) => s.lane === 1 && !s.block).reduce((total, s) => total + s.end - s.start, 0) * 1e-9}));
  });
  for (const [rank, s] of streams.entries()) {
    check(Math.abs(s.compute - s.optimizer - s.blocks) < 1e-4, `rank ${rank}: the compute stream is busy for ${s.compute} s, its blocks say ${s.blocks} + ${s.optimizer}`);
  }
  await page.mouse.move(box.x + 700, box.y + 60);
  await page.keyboard.down("Control");
  await page.mouse.wheel(0, -400);
  await page.keyboard.up("Control");
  await settle();
  const wheeled = await view();
  check(wheeled[1] - wheeled[0] < full[1] - full[0], "ctrl and the wheel do not zoom");
  await page.mouse.down();
  await page.mouse.move(box.x + 600, box.y + 60, {steps: 4});
  await page.mouse.up();
  check((await view())[0] > wheeled[0], "dragging does not pan");
  await page.focus(".gantt canvas");
  await page.keyboard.press("Escape");
  check(JSON.stringify(await view()) === JSON.stringify(full), "Escape does not show all");
  await page.keyboard.press("Home");
  const first = await detail();
  await page.keyboard.press("ArrowRight");
  check(first.startsWith("F 0") && (await detail()) !== first, `the arrow keys do not walk: ${first}`);
  await page.keyboard.press("ArrowDown");
  check((await detail()).includes("rank 4"), "the down arrow does not change the rank");
  await page.keyboard.press("Enter");
  const entered = await view();
  check(entered[1] - entered[0] < 1e9, "Enter does not zoom to the block");
  await page.keyboard.press("-");
  check((await view())[1] - (await view())[0] > entered[1] - entered[0], "the minus key does not zoom out");
  await settle();
  if (pictures) await page.locator("#gantt").screenshot({path: join(pictures, "gantt-zoomed.png")});
  await page.focus(".skip");
  const stops = [];
  for (let i = 0; i < 12; ++i) {
    await page.keyboard.press("Tab");
    stops.push(await page.evaluate(() => document.activeElement.tagName));
  }
  check(stops.includes("CANVAS") && stops.includes("BUTTON"), `the tab key reaches ${stops}`);
  check(complaints.length === 0, `walking the Gantt: ${complaints.join("; ")}`);
  await page.close();
}

// The Gantt answers before the panels below it are drawn; in the end, or when the page is printed first, all are.
for (const end of ["idle", "print"]) {
  const page = await browser.newPage({viewport: {width: 1440, height: 900}});
  await page.addInitScript(() => {
    window.held = [];
    window.requestIdleCallback = (work) => window.held.push(work);
  });
  await page.goto(`file://${join(scratch, "simulate.html")}`);
  await page.waitForFunction(() => document.documentElement.dataset.interactive);
  const before = await page.evaluate(() => ({span: hourglass.gantts[0].view.x1 - hourglass.gantts[0].view.x0, plots: document.querySelectorAll(".plot svg").length, library: typeof Plot}));
  check(before.plots === 0 && before.library === "undefined", `${before.plots} charts are drawn before the page answers`);
  await page.focus(".gantt canvas");
  await page.keyboard.press("Home");
  await page.keyboard.press("+");
  check((await page.evaluate(() => hourglass.gantts[0].view.x1 - hourglass.gantts[0].view.x0)) < before.span, "the Gantt does not answer before the other panels are drawn");
  check((await page.textContent(".detail")).includes("gemm_fp8"), "a block does not say what it costs before the other panels are drawn");
  if (end === "print") await page.evaluate(() => dispatchEvent(new Event("beforeprint")));
  else await page.evaluate(() => { while (held.length > 0) held.shift()(); });
  const sections = await is_complete(`drawn by ${end}`, page);
  check(["Critical path", "Roofline of the operators", "Every rank in figures", "Memory over the step"].every((title) => sections.includes(title)), `by ${end} only ${sections} are drawn`);
  check((await page.$$(".plot svg")).length >= 4, `by ${end} not every chart is drawn`);
  await page.close();
}

// The published DualPipe figure, 8 ranks and 20 micro-batches: makespan 66 and 6 units of bubble on every rank; and the
// drawing of --format svg has every block where the Gantt has it.
{
  const words = ["--ranks", "8", "--micro-batches", "20"];
  const file = join(scratch, "dualpipe.html");
  const document = JSON.parse(hourglass("compare", ...words, "--schedules", "dualpipe", "--format", "json", "--html", file));
  const {page} = await open(browser, file);
  const chart = await page.evaluate(() => ({makespan: hourglass.gantts[0].timeline.makespan, blocks: hourglass.gantts[0].blocks,
    rects: hourglass.gantts[0].blocks.map((row, r) => row.map((_, i) => hourglass.gantts[0].rect(r, i)))}));
  check(chart.makespan === 66 && document.schedules[0].makespan === 66, `DualPipe's makespan is ${chart.makespan}, published 66`);
  chart.blocks.forEach((row, rank) => {
    const busy = row.reduce((sum, b) => sum + b.end - b.start, 0);
    check(66 - busy === 6 && document.schedules[0].ranks[rank].bubble === 6, `DualPipe's rank ${rank} waits ${66 - busy}, published 6`);
  });
  const svg = hourglass("schedule", "dualpipe", ...words, "--format", "svg");
  const drawn = [...svg.matchAll(/<rect x="([\d.]+)" y="([\d.]+)" width="([\d.]+)" height="[\d.]+" fill="/g)].map((m) => m.slice(1, 4).map(Number)).filter(([x, , w]) => x >= 70 && w !== 14);
  const expected = chart.blocks.flatMap((row, rank) => row.flatMap((b) => Array(b.kind === 4 ? 2 : 1).fill([b.start, b.end, rank])));
  check(drawn.length === expected.length, `the SVG draws ${drawn.length} boxes, the Gantt has ${expected.length}`);
  const unit = 1400 / 66;
  expected.forEach(([start, end, rank], i) => {
    const [x, y, width] = drawn[i] || [0, 0, 0];
    check(Math.abs((x - 70) / unit - start) < 0.01 && Math.abs((x + width - 70) / unit - end) < 0.01 && Math.floor((y - 26) / 18) === rank,
      `box ${i}: the SVG has ${(x - 70) / unit} to ${(x + width - 70) / unit}, the Gantt ${start} to ${end} on rank ${rank}`);
  });
  const pixel = (chart.rects[0][1].x - chart.rects[0][0].x) / (chart.blocks[0][1].start - chart.blocks[0][0].start);
  chart.rects.flat().forEach((rect, i) => {
    const b = chart.blocks.flat()[i];
    check(Math.abs(rect.x - chart.rects[0][0].x - b.start * pixel) < 1e-6 && Math.abs(rect.width - (b.end - b.start) * pixel) < 1e-6, `block ${i} is drawn elsewhere than it is`);
  });
  await page.close();
}

// Names from configurations are text, whatever they look like.
{
  const evil = `</script><script>window.pwned=1</script><img src=x onerror="window.pwned=2">'"&amp; <b>&#x202e; \u2028 漢字 {{data}}<!-- data -->`;
  cpSync(join(root, "configs"), join(scratch, "configs"), {recursive: true});
  const path = join(scratch, "configs/plans/deepseek-v3.json");
  const document = JSON.parse(readFileSync(path, "utf8"));
  document.stages[0].name = evil;
  writeFileSync(path, JSON.stringify(document));
  const file = join(scratch, "evil.html");
  const words = ["plan", path, "--set", `cluster.name=${JSON.stringify(evil)}`, "--html", file, "--format", "json"];
  const result = JSON.parse(hourglass(...words));
  const {page, complaints} = await open(browser, file);
  check((await page.evaluate(() => window.pwned)) === undefined, "a name ran as a script");
  check(complaints.length === 0, `evil names: ${complaints.join("; ")}`);
  check((await page.textContent("[data-path='/stages/0/name']")) === result.stages[0].name, "the name is not shown as it is");
  check((await page.$$("img, main b, main script")).length === 0, "a name became an element");
  await page.close();
}

await browser.close();
finish();
